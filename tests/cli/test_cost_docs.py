"""docs/prices.md, cost.md and reconcile.md: every command runs as written and prints what the page shows.

After a deliberate change, `HINDCAST_WRITE_DOCS=1` writes the new output into the pages.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = re.compile(r"```\w+ (\S+\.\w+)\n(.*?)```", re.DOTALL)
SESSION = re.compile(r"```console\n(.*?)```", re.DOTALL)
BOOK = re.compile(r"genai-prices [0-9.]+\+[0-9a-f]{12}")
PAGES = ("prices.md", "cost.md", "reconcile.md")


def run_page(text: str) -> str:
    """The page with every command's real output in place of the one that is written there."""

    def session(block: re.Match[str]) -> str:
        lines = []
        for command in re.findall(r"^\$ (.*)$", block.group(1), re.MULTILINE):
            program, *arguments = shlex.split(command)
            assert program == "hindcast", command
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert done.exit_code == 0, (command, done.output)
            shown = "" if arguments[0] == "ingest" else done.output  # what ingest says is shown on its own page
            output = "\n".join(line.rstrip() for line in shown.rstrip().splitlines())
            lines.append(f"$ {command}\n{output}\n" if output else f"$ {command}\n")
        return "```console\n" + "\n".join(lines) + "```"

    return SESSION.sub(session, text)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_prints_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HINDCAST_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "110")
    for source in ("prices.md", page):
        for name, content in FILES.findall((DOCS / source).read_text()):
            Path(name).write_text(content)
    path = DOCS / page
    written = path.read_text()
    real = run_page(written)
    if os.environ.get("HINDCAST_WRITE_DOCS"):
        path.write_text(real)
    assert BOOK.sub("BOOK", real) == BOOK.sub("BOOK", path.read_text())
