"""What the README and the pages of docs/ show is what happens: commands run, their output is the printed one.

In a fenced `sh` block every line is a command; in a `console` block the lines that begin with `$ ` are, and the lines
below are what it prints, `...` standing for any lines left out.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from terminal import hindcast_line

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN_STORE = {"cost.md", "prices.md", "reconcile.md"}  # bring their own log; tests/cli/test_cost_docs.py runs them
RECENT = "2024-03-09"  # a replay whose output is not shown is run on the last days of the demo alone
FENCE = re.compile(r"^```(sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = (
    "hindcast dashboard", "hindcast serve", "hindcast demo", "hindcast shadow", "hindcast watch",
    "python -m sample_logs", "pip install", "uv ",
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A command of a page and the output lines it is shown with."""

    page: str
    command: str
    output: tuple[str, ...]


def commands(page: Path) -> list[Shown]:
    found = []
    for kind, body in FENCE.findall(page.read_text("utf-8")):
        lines = body.replace("\\\n", " ").splitlines()
        for number, line in enumerate(lines):
            if kind == "sh" and line.strip() and not line.strip().startswith("#"):
                found.append(Shown(page.name, line.strip(), ()))
            elif kind == "console" and line.startswith("$ "):
                output = []
                for below in lines[number + 1 :]:
                    if below.startswith("$ "):
                        break
                    output.append(below)
                found.append(Shown(page.name, line[2:].strip(), tuple(output)))
    return found


def bare(command: str) -> str:
    return " ".join(shlex.split(command, comments=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, origin_story: Path) -> Path:
    """A working folder as the pages assume it: the demo's store, its strategies and a folder of logs."""
    made = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "sample_logs", made / "sample_logs", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    shutil.copytree(ROOT / "sample_logs" / "strategies", made / "strategies")
    shutil.copytree(ROOT / "sample_logs" / "formats", made / "logs")
    shutil.copy(origin_story, made / "hindcast.duckdb")
    return made


DEAR = {"cache.md", "ci.md", "strategies.md", "report.md", "quality.md", "diagnose.md"}  # replay the demo many times
RUN = [
    pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in DEAR else [])
    for page in PAGES
    if page.name not in OWN_STORE
]


@pytest.mark.spread
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page: Path, folder: Path) -> None:
    store = folder / f"{page.stem}.duckdb"
    shutil.copy(folder / "hindcast.duckdb", store)
    for shown in commands(page):
        check(shown, folder, store)


def check(shown: Shown, folder: Path, store: Path) -> None:
    command = bare(shown.command)
    words = command.split()
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), shown
        return
    if command.startswith("python -m benchmarks"):
        for name in words[3:]:
            assert name == "all" or importlib.util.find_spec(f"benchmarks.{name}"), shown
        return
    if words[0] in ("git", "cd", "export") or command.startswith(ELSEWHERE):
        return
    assert words[0] == "hindcast", f"{shown.page}: '{shown.command}' is not tested"
    variables = {"HINDCAST_STORE": str(store), "COLUMNS": "120"}
    if set(command) & set("|<>&;$"):
        script = re.sub(r"^hindcast\b", f"{shlex.quote(sys.executable)} -m cli.app", shown.command)
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            script, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=180
        )
    elif words[1:2] == ["replay"] and not shown.output:
        done = hindcast_line(folder, f"{command} --since {RECENT}", **variables)
    else:
        done = hindcast_line(folder, shown.command, **variables)
    assert done.returncode == 0, f"{shown.page}: {shown.command}\n{done.stderr}"
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    place = 0
    for line in (line.rstrip() for line in shown.output if line.strip() != "..."):
        if line:
            assert line in printed[place:], f"{shown.page}: {shown.command}\nnot printed: {line}\n" + "\n".join(printed)
            place = printed.index(line, place) + 1


def test_every_command_is_in_a_page() -> None:
    from typer.main import get_command

    from cli.app import app

    text = "\n".join(page.read_text("utf-8") for page in PAGES)

    def names(command: object, path: str = "hindcast") -> list[str]:
        children = getattr(command, "commands", None)
        return (
            [leaf for name, child in children.items() for leaf in names(child, f"{path} {name}")]
            if children
            else [path]
        )

    missing = [name for name in names(get_command(app)) if name not in text]
    assert not missing
