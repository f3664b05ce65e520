"""Mistakes by kind: each ends with 2, in at most three lines that name the nearest right word or what to type."""

from __future__ import annotations

from pathlib import Path

import pytest
import spiky as made
from typer.testing import CliRunner

from cli.app import app
from ingest.errors import HindcastError

SAMPLE = "ok.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mistakes")
    made.make(place / "hindcast.duckdb")
    (place / SAMPLE).write_text("name: ok\nroute: [{default: gpt-4o-mini}]\n")
    (place / "calls.jsonl").write_text("{}\n")
    return place


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> str:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HINDCAST_STORE", raising=False)
    done = CliRunner().invoke(app, arguments)
    text = str(done.exception) if isinstance(done.exception, HindcastError) else done.output
    code = done.exception.exit_code if isinstance(done.exception, HindcastError) else done.exit_code
    assert code == 2, text
    return text


KINDS = [
    ("a command", ["cots"], "Did you mean 'cost'?"),
    ("a command of a group", ["strategy", "chek"], "Did you mean 'check'?"),
    ("an option", ["cost", "--wher", "agent=x"], "Did you mean --where DIM=VALUE?"),
    ("an option of the program", ["--stroe", "x"], "Did you mean --store"),
    ("another tool's word for an option", ["cost", "--group-by", "day"], "Did you mean --by DIM,...?"),
    ("a form as an option", ["calls", "--csv"], "Did you mean --output FILE?"),
    ("a day without its option", ["diagnose", "2024-03-05"], "--day 2024-03-05"),
    ("a filter without its option", ["cost", "agent=x"], "--where agent=x"),
    ("a word that belongs nowhere", ["cost", "x"], "Example: hindcast cost"),
    ("a missing argument", ["breakeven"], "Example: hindcast breakeven"),
    ("a missing option", ["backtest", SAMPLE], "Example: hindcast backtest"),
    ("an option without its value", ["cost", "--by"], "Example: hindcast cost"),
    ("a number out of range", ["cost", "--top", "-1"], "'--top'"),
    ("a dimension", ["cost", "--by", "dy"], "Did you mean 'day'?"),
    ("a figure for a dimension", ["cost", "--by", "cost"], "'cost' is a figure, not a dimension"),
    ("a dimension in a filter", ["cost", "--where", "agnt=x"], "Did you mean 'agent'?"),
    ("a filter without a value", ["cost", "--where", "agent"], "Write it as: --where agent="),
    ("a choice", ["diagnose", "--metric", "cots"], "Did you mean 'cost'?"),
    ("a day in another form", ["cost", "--since", "5.3.2024"], "Did you mean 2024-03-05?"),
    ("a day without calls", ["diagnose", "--day", "2020-01-01"], "The nearest day with calls is"),
    ("a form of file", ["cost", "-o", "x.xlsx"], "End it in .csv or .parquet"),
    ("a form of report", ["report", "-o", "x.odt"], "Known: html, md, pdf, docx."),
    ("two forms of report", ["report", "-o", "x.pdf", "--md"], "Leave one of them out."),
    ("a PDF on stdout", ["report", "-o", "-", "--pdf"], "-o report.pdf"),
    ("a strategy file", ["replay", "okk.yaml"], "Did you mean ok.yaml?"),
    ("a log file", ["ingest", "call.jsonl"], "Did you mean calls.jsonl?"),
    ("a mapping file", ["ingest", "calls.jsonl", "--mapping", "ok.yml"], "Did you mean ok.yaml?"),
    ("a store", ["cost", "--store", "none.duckdb"], "hindcast ingest PATH"),
    ("a file that is no store", ["cost", "--store", SAMPLE], "Name another --store."),
    ("a model", ["prices", "explain", "gpt-4-trubo"], "Did you mean gpt-4-turbo"),
    ("a price without a number", ["prices", "set", "m"], "--input with --output"),
    ("a format", ["ingest", "calls.jsonl", "--format", "litelm"], "Did you mean 'litellm'?"),
    ("a number of no call", ["calls", "--show", "999999"], "hindcast calls"),
    ("a share in percent", ["optimize", "--quality-floor", "95"], "between 0 and"),
]


@pytest.mark.parametrize(("kind", "arguments", "word"), KINDS, ids=[kind for kind, _, _ in KINDS])
def test_a_mistake_is_answered_with_the_right_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, arguments: list[str], word: str
) -> None:
    text = said(folder, monkeypatch, arguments)
    assert word in text
    assert kind == "a model" or len(text.splitlines()) <= 3


@pytest.mark.parametrize("words", [["help", "cost"], ["version"], ["help"]])
def test_help_and_version_are_words_too(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from cli.app import main

    monkeypatch.setattr(sys, "argv", ["hindcast", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
