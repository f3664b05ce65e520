"""docs/ingest.md: every command runs as written and prints what the page shows.

After a deliberate change, `HINDCAST_WRITE_DOCS=1` writes the new output into the page.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from ingest.formats import formats

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "ingest.md"
SESSION = re.compile(r"```console\n(.*?)```", re.DOTALL)


def test_every_command_of_the_page_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("formats", "mappings"):
        shutil.copytree(ROOT / "sample_logs" / folder, tmp_path / "sample_logs" / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HINDCAST_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "110")

    def session(block: re.Match[str]) -> str:
        lines = []
        for command in re.findall(r"^\$ (.*)$", block.group(1), re.MULTILINE):
            program, *arguments = shlex.split(command)
            assert program == "hindcast", command
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert done.exit_code == 0, (command, done.output)
            output = "\n".join(line.rstrip() for line in done.output.rstrip().splitlines())
            lines.append(f"$ {command}\n{output}\n")
        return "```console\n" + "\n".join(lines) + "```"

    written = PAGE.read_text()
    real = SESSION.sub(session, written)
    if os.environ.get("HINDCAST_WRITE_DOCS"):
        PAGE.write_text(real)
    assert real == PAGE.read_text()


def test_the_page_names_every_format_and_every_option() -> None:
    text = PAGE.read_text()
    for one in formats():
        assert f"`{one.name}`" in text, one.name
    for option in ("--explain", "--mapping", "--no-text", "--metadata-only", "--redact", "--redact-pattern", "--key",
                   "--timezone", "--max-bad-ratio", "--follow", "--wait", "--no-match-formats"):  # fmt: skip
        assert option in text, option
