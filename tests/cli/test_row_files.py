"""Tables for people and rows for programs: newest first, one line a row in a pipe, and the same sums in a file."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import spiky as made
from typer.testing import CliRunner

from cli.app import app
from cli.terminal import output
from cli.terminal.text_tables import UNBOUNDED, fitting
from ingest.store.database import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made.make(tmp_path_factory.mktemp("rows") / "spiky.duckdb")


def hindcast(store: Store, *arguments: str, columns: str | None = None) -> str:
    environment = {"HINDCAST_STORE": str(store.path), "COLUMNS": columns}
    done = CliRunner(env=environment).invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("command", [("cost", "--by", "day,agent"), ("calls",), ("diagnose",)])
def test_csv_and_parquet_hold_the_same_rows(store: Store, tmp_path: Path, command: tuple[str, ...]) -> None:
    for ending in ("csv", "parquet"):
        hindcast(store, *command, "-o", str(tmp_path / f"rows.{ending}"))
    columnar = pl.read_parquet(tmp_path / "rows.parquet")
    text = (tmp_path / "rows.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (len(rows), list(rows[0])) == (columnar.height, columnar.columns)
    for name, kind in columnar.schema.items():
        if isinstance(kind, pl.Decimal):
            assert [Decimal(row[name]) for row in rows if row[name]] == columnar[name].drop_nulls().to_list()
    assert hindcast(store, *command, "-o", "-") == text


def test_the_newest_day_is_first_on_the_terminal_and_last_in_json_and_files(store: Store, tmp_path: Path) -> None:
    hindcast(store, "cost", "--by", "day", "-o", str(tmp_path / "rows.parquet"))
    days = [day.isoformat() for day in pl.read_parquet(tmp_path / "rows.parquet")["day"].to_list()]
    shown = [line.split()[0] for line in hindcast(store, "cost", "--by", "day").splitlines() if line[:2] == "20"]
    assert days == sorted(days)
    assert shown == sorted(days, reverse=True)[: len(shown)]


def test_in_a_pipe_a_row_is_one_line_however_long(store: Store) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    words = [sys.executable, "-m", "cli.app", "cost", "--by", "agent,task,model,session", "--store", str(store.path)]
    done = subprocess.run(
        words, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    header = next(place for place, line in enumerate(lines) if line.startswith("agent "))
    assert lines[header + 30].strip()
    assert all(len(line) >= lines[header].index("session") for line in lines[header : header + 31])


def test_columns_that_can_be_spared_go_before_texts_fold() -> None:
    lines = [["name", "a", "b", "c"], ["x" * 20, "1" * 10, "2" * 10, "3" * 10]]
    assert fitting(lines, (3, 1), UNBOUNDED) == ([0, 1, 2, 3], [])
    assert fitting(lines, (3, 1), 45) == ([0, 1, 2], [3])
    assert fitting(lines, (3, 1), 10) == ([0, 2], [3, 1])


def test_what_was_left_out_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output.table(["name", "usd", "calls"], [["a name", "12.00", "1,000,000"]], optional=(2,))
    assert capsys.readouterr().out.splitlines() == ["name      usd", "a name  12.00", "Left out at this width: calls"]


def test_a_report_goes_to_stdout_and_the_ending_tells_the_form(store: Store, tmp_path: Path) -> None:
    assert hindcast(store, "report", "-o", "-", "--md", "--for", "engineers").startswith("#")
    hindcast(store, "report", "-o", str(tmp_path / "x.md"))
    assert (tmp_path / "x.md").read_text().startswith("#")
    assert not Path("-").exists()
