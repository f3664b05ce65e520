"""No name of a log is run by the spreadsheet that opens an exported file."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from builder import build_in_memory
from hypothesis import given
from hypothesis import strategies as st

from analysis.formatting import csv_text
from analysis.ledger import ledger
from analysis.reports.focus_export import export
from dashboard.render import tables

FORMULAS = ("=1+1", '=HYPERLINK("http://evil","x")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "＝1+1")


@given(st.text())
def test_a_cell_begins_with_nothing_that_starts_a_formula(text: str) -> None:
    cell = csv_text(text)
    assert cell.removeprefix("'").split() == text.removeprefix("'").split()
    assert "\r" not in cell
    if cell.strip()[:1] in ("=", "+", "-", "@"):
        assert Decimal(cell) == Decimal(text)


@pytest.mark.parametrize("number", ["-1", "-1.50", "+2", "0.0"])
def test_a_number_stays_a_number(number: str) -> None:
    assert csv_text(number) == number


@pytest.mark.parametrize("spec", ["1.4", "1.2"])
def test_a_focus_file_has_no_formula_in_any_column(spec: str, tmp_path: Path) -> None:
    names = ("agent", "task", "team", "environment", "provider_name", "model", "service_tier")
    calls = [
        {
            "start_time": datetime(2026, 3, 2, 10),
            "model": "gpt-4o",
            "provider_name": "openai",
            "input_tokens": 5,
            "output_tokens": 1,
            name: formula,
        }
        for name in names
        for formula in FORMULAS
    ]
    store = build_in_memory(calls)
    ledger.update(store)
    out = io.StringIO(newline="")
    done = export(store, out, spec=spec, account="=cmd()")
    rows = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert done.rows == len(rows) - 1 > 10
    for row in rows:
        for cell in row:
            assert cell.strip()[:1] not in ("=", "+", "-", "@", "＝"), cell


def test_a_table_has_no_formula_in_headings_or_cells() -> None:
    rows = [(formula, Decimal("-1.5")) for formula in FORMULAS]
    made = tables.Table("proof", [tables.Column("=1+1"), tables.Column("usd")], rows)
    for row in csv.reader(io.StringIO(tables.to_csv(made).decode(), newline="")):
        assert row[0].startswith("'")
        assert row[1] in ("usd", "-1.5")


@given(st.text())
def test_nothing_in_markdown_acts_on_a_terminal(text: str) -> None:
    shown = tables.escape_markdown(f"a\x1b]0;owned\x07\x00\u202e{text}")
    assert shown.isprintable()
    assert shown.startswith("a\ufffd")
