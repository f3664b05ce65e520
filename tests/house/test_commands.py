"""Every command says what it does, shows an example, and fails in one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from terminal import hindcast
from typer.main import get_command

from cli.app import app


def walk(command: object, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    children = getattr(command, "commands", None)
    if not children:
        return [(path, command)]
    return [leaf for name, child in sorted(children.items()) for leaf in walk(child, (*path, name))]


LEAVES = walk(get_command(app))


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_each_command_has_help_with_an_example(path: tuple[str, ...], command: typer.core.TyperCommand) -> None:
    text = command.help or ""
    assert text.strip(), path
    assert "Example:" in text
    assert f"hindcast {' '.join(path)}" in text


WITHOUT_STORE = {("ingest",), ("prices", "explain")}  # one makes it, the other can answer without
NEED_STORE = [
    path for path, command in LEAVES if path not in WITHOUT_STORE and any("--store" in p.opts for p in command.params)
]


@pytest.mark.parametrize("path", NEED_STORE, ids=[" ".join(path) for path in NEED_STORE])
def test_a_missing_store_is_one_clear_line_and_exit_2(path: tuple[str, ...], tmp_path: Path) -> None:
    command = next(command for found, command in LEAVES if found == path)
    arguments = [str(tmp_path / "none.yaml") for param in command.params if param.param_type_name == "argument"]
    found = hindcast(tmp_path, *path, *arguments)
    assert found.returncode == 2, found.stderr
    assert found.stdout == ""
    assert "Traceback" not in found.stderr
    assert 1 <= len(found.stderr.strip().splitlines()) <= 6


def test_a_typo_in_a_strategy_names_line_and_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: x\nroute:\n  - {match: {tsk: a}, model: gpt-4o}\n")
    found = hindcast(tmp_path, "replay", "s.yaml")
    assert found.returncode == 2
    assert "s.yaml:3" in found.stderr
    assert "Did you mean 'task'?" in found.stderr
