"""Days given to commands: a window runs forwards, and one in which nothing is logged is said to be empty."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from builder import build_store
from typer.main import get_command
from typer.testing import CliRunner, Result

from analysis.ledger.ledger import update
from cli.app import app
from ingest.errors import InputError

SAID = "Nothing is logged from 2030-01-01 to 2030-01-05. The log has 2024-03-04 to 2024-03-05.\n"


def walk(command: object, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    children = getattr(command, "commands", None)
    if not children:
        return [(path, command)]
    return [leaf for name, child in sorted(children.items()) for leaf in walk(child, (*path, name))]


WINDOWED = {
    path: command for path, command in walk(get_command(app)) if any("--since" in p.opts for p in command.params)
}
REQUIRED = {
    ("backtest",): ["--split", "2030-01-03"],
    ("verify",): ["--from", "2030-01-03"],
    ("breakeven",): ["--usd-per-hour", "2", "--tokens-per-second", "4000"],
}
# what makes a file of the days, or judges them, refuses days without a call
REFUSING = {("report",), ("check",), ("strategy", "init"), ("store", "pull")}
LISTING = [path for path in WINDOWED if path not in REFUSING]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    calls = [{"start_time": datetime(2024, 3, day, 12), "input_tokens": 10, "output_tokens": 1} for day in (4, 5)]
    built = build_store(folder / "s.duckdb", calls)
    update(built)
    route = "route: [{match: {agent: x}, model: gpt-4o-mini}]"
    (folder / "s.yaml").write_text(f"name: s\n{route}\ncompress: [whitespace]\n")
    return built.path


def hindcast(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("path", WINDOWED, ids=[" ".join(path) for path in WINDOWED])
def test_a_window_that_runs_backwards_is_refused_in_either_order(path: tuple[str, ...]) -> None:
    ends = [("--since", "2024-03-10"), ("--until", "2024-03-01")]
    for given in (ends, ends[::-1]):
        found = hindcast(*path, *[word for pair in given for word in pair])
        assert isinstance(found.exception, InputError)
        if path != ("report",):  # it asks for a period rather than for a window, in words of its own
            assert "--since 2024-03-10 is after --until 2024-03-01" in str(found.exception)
        assert found.stdout == ""


@pytest.mark.parametrize("path", LISTING, ids=[" ".join(path) for path in LISTING])
def test_a_window_without_calls_is_said_to_be_empty(path: tuple[str, ...], store: Path, tmp_path: Path) -> None:
    files = [str(store.with_name("s.yaml")) for p in WINDOWED[path].params if p.param_type_name == "argument"]
    output = ["-o", str(tmp_path / "out")] if path == ("export", "focus") else []
    window = ["--since", "2030-01-01", "--until", "2030-01-05"]
    found = hindcast(*path, *files, *REQUIRED.get(path, []), *output, *window, "--store", str(store))
    assert found.exit_code == 0, (found.output, found.exception)
    assert SAID in (found.stderr if output else found.stdout)
    assert output or found.stdout == SAID


def test_a_filter_that_no_call_meets_is_named(store: Path) -> None:
    assert hindcast("cost", "--store", str(store), "--where", "agent=x").stdout == "No call has agent=x.\n"
    assert hindcast("calls", "--store", str(store), "--agent", "x").stdout == "No call has agent=x.\n"
