"""What commands print: numbers whole at any width, nothing that a terminal would obey, no import that is slow."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.terminal import output
from cli.terminal.text_tables import cells, lay_out

FIGURES = st.sampled_from(["$1,131.79", "-0.5 %", "12,345,678", "unpriced", "-", "+$3.20", "578.15M", "2024-03-05"])
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z", "M"]), max_size=30) | st.sampled_from(
    ["gpt-3.5-turbo-instruct", "drafting_agent / draft", "日本語の名前", "[red]x[/red]", "a plain sentence of words"]
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    texts, figures = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    row = st.tuples(*[NAMES] * texts, *[FIGURES] * figures).map(list)
    headers = ["name", "where it is", "what"][:texts] + [f"figure {n}" for n in range(figures)]
    return headers, draw(st.lists(row, min_size=1, max_size=4)), tuple(range(texts))


@settings(max_examples=150, deadline=None)
@given(table=tables(), width=st.integers(40, 200))
def test_no_number_is_broken_and_no_line_is_too_long_at_any_width(
    table: tuple[list[str], list[list[str]], tuple[int, ...]], width: int
) -> None:
    headers, rows, left = table
    lines = [text for text, _ in lay_out(headers, rows, left=left, width=width)]
    assert max(map(cells, lines)) <= max(width, 44)  # a third text beside a figure can need more than 40
    for row in rows:
        for figure in row[len(left) :]:
            assert any(figure in line for line in lines), (figure, lines)


@pytest.mark.parametrize("width", [40, 110])
def test_a_cost_table_shows_every_column_of_every_row(width: int) -> None:
    headers = ["day", "model", "calls", "input", "cached", "output", "cost", "unpriced"]
    rows = [["2024-03-05", "gpt-4-turbo", "1,904", "7.37M", "unknown", "1.87M", "$1,131.79", "-"]] * 3
    text = "\n".join(line for line, _ in lay_out(headers, rows, left=(0, 1), width=width))
    assert text.count("$1,131.79") == text.count("7.37M") == 3
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("text", ["a\x1b[31mred", "\u202ereversed", "\x9b31m", "\ud800", "soft\u00adhyphen", "\u2028"])
def test_nothing_from_a_log_steers_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.say(text)
    output.table(["agent"], [[text]])
    output.note(text)
    output.emit_json({"agent": text})
    captured = capsys.readouterr()
    steering = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [c for c in captured.out + captured.err if c != "\n" and unicodedata.category(c) in steering]
    assert text[0] == "a" or "\\" in captured.out
    assert json.loads(captured.out[captured.out.index("{") :])["agent"] == text


def test_every_character_that_shows_nothing_is_escaped_and_emoji_stay_joined() -> None:
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if unicodedata.category(char) != "Cn":  # which a newer Unicode may have assigned
            assert (output.safe(char) != char) == (unicodedata.category(char) in hidden and char not in "\n\t"), hex(
                code
            )
    assert output.safe("👩\u200d🔬 said\thi") == "👩\u200d🔬 said\thi"


def test_a_name_with_a_line_feed_stays_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["agent", "usd"], [["a\nTotal  $0.00", "1"]])
    assert capsys.readouterr().out.splitlines()[1:] == ["a\\nTotal  $0.00    1"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(table=tables())
def test_a_table_that_fits_is_one_line_per_row(table: tuple[list[str], list[list[str]], tuple[int, ...]]) -> None:
    headers, rows, left = table
    assert len(list(lay_out(headers, rows, left=left, width=1000))) == 1 + len(rows)


def test_a_cost_table_in_a_pipe_imports_nothing_heavy() -> None:
    script = """
import sys
from cli.app import main
sys.argv = ["hindcast", "cost", "--store", "none.duckdb"]
import analysis.reports.cost, ingest.store.database
heavy = {"numpy", "pyarrow", "pandas", "polars", "numba", "pydantic", "yaml", "rich", "genai_prices"} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
