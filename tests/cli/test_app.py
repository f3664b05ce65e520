"""The surface of `hindcast`: sections of commands with whole helps, global options, choices that a shell completes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from builder import build_store
from typer.main import get_command
from typer.testing import CliRunner, Result

import ingest
from analysis.ledger.ledger import update
from cli.app import GROUPS, app
from ingest.errors import InputError


def hindcast(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "80", **environment}).invoke(app, list(arguments))


def groups(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(command, "commands", {})
    return ([path] if children else []) + [one for name in children for one in groups(children[name], (*path, name))]


def leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if not children:
        return [(path, command)]
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))]


CHOICES = [
    (path, param.opts[0])
    for path, command in leaves(get_command(app))
    for param in command.params
    if (path, param.opts[0]) != (("ingest",), "--key")  # a file
    and param.opts[0] in (
        "--metric", "--mark", "--order", "--for", "--spec", "--key", "--temperature", "--tenant", "--policy", "--tiers",
        "--tier", "--basis", "--format",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    built = build_store(
        tmp_path_factory.mktemp("app") / "s.duckdb",
        [{"start_time": "2024-03-05 12:00:00", "input_tokens": 10, "output_tokens": 1}],
    )
    update(built)
    return str(built.path)


@pytest.mark.parametrize("path", groups(get_command(app)), ids=lambda path: " ".join(path) or "hindcast")
def test_each_command_of_a_listing_has_one_whole_line(path: tuple[str, ...]) -> None:
    shown = hindcast(*path, "--help").stdout
    command: Any = get_command(app)
    for name in path:
        command = command.commands[name]
    for name in command.commands:
        (line,) = [line for line in shown.splitlines() if re.match(rf"  {name} ", line)]
        below = shown.splitlines()[shown.splitlines().index(line) + 1 :][:1]
        assert len(line) <= 80
        assert not line.endswith("...")
        assert below == [] or not below[0].startswith("     "), f"{name}: the first sentence takes more than a line"


def test_the_help_lists_the_commands_in_sections() -> None:
    shown = hindcast("--help").stdout
    sections = re.findall(r"^(\w+):$", shown, re.MULTILINE)
    assert sections == ["Options", "Logs", "Costs", "Strategies", "Savings", "Monitoring", "Share"]
    assert len(sections) == len(GROUPS) + 1


def test_the_version_is_the_package_s() -> None:
    assert hindcast("--version").stdout == f"hindcast {ingest.__version__}\n"


def test_json_and_store_before_the_command_hold_for_it(store: str) -> None:
    before = hindcast("--json", "--store", store, "cost", HINDCAST_STORE="another.duckdb")
    after = hindcast("cost", "--json", "--store", store)
    assert (before.exit_code, before.stdout) == (0, after.stdout)
    assert json.loads(before.stdout)["total"]["calls"] == 1


def test_the_store_of_a_command_goes_before_the_global_one(store: str, tmp_path: Path) -> None:
    found = hindcast("--store", str(tmp_path / "none.duckdb"), "cost", "--json", "--store", store)
    assert json.loads(found.stdout)["total"]["calls"] == 1


@pytest.mark.parametrize(("path", "option"), CHOICES, ids=[" ".join((*path, option)) for path, option in CHOICES])
def test_a_choice_is_completed_and_another_word_refused(path: tuple[str, ...], option: str) -> None:
    words = " ".join(["hindcast", *path, option, ""])
    completed = hindcast(_HINDCAST_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(path) + 2))
    names = completed.stdout.split()
    assert len(names) > 1
    refused = hindcast(*path, f"{option}={names[0]}x")
    assert isinstance(refused.exception, InputError), refused.output
    assert f"{option} '{names[0]}x' is not one of" in str(refused.exception)
    assert f"Did you mean '{names[0]}'?" in str(refused.exception)
