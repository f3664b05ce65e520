"""Answers in a pipe are printed without rich, which takes longer to import than most answers; they read the same."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import output

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=9) | st.sampled_from(
    ["", "gpt-4o", "$0.00450", "1,234", "·", "[red]x[/red]", "a\tb", "日本", "e\u0301", "\x1b[31m", "  spaced "]
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    width = draw(st.integers(1, 4))
    row = st.lists(CELLS, min_size=width, max_size=width)
    return draw(row), draw(st.lists(row, max_size=4)), tuple(draw(st.sets(st.integers(0, width - 1))))


def printed(capsys: pytest.CaptureFixture[str], *what: object, left: tuple[int, ...] = ()) -> str:
    capsys.readouterr()
    if len(what) == 1:
        output.say(str(what[0]))
    else:
        output.table(what[0], what[1], left=left)  # type: ignore[arg-type]
    return capsys.readouterr().out


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(table=tables(), line=CELLS)
def test_a_plain_answer_is_what_rich_would_print(
    capsys: pytest.CaptureFixture[str], table: tuple[list[str], list[list[str]], tuple[int, ...]], line: str
) -> None:
    headers, rows, left = table
    quick = printed(capsys, headers, rows, left=left), printed(capsys, line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "_plain", lambda _: False)
        assert quick == (printed(capsys, headers, rows, left=left), printed(capsys, line))


def test_a_cost_table_in_a_pipe_imports_nothing_heavy(tmp_path: object) -> None:
    script = """
import sys
from cli.app import main
sys.argv = ["hindcast", "cost", "--store", "none.duckdb"]
import analysis.cost, ingest.store
heavy = {"numpy", "pyarrow", "pandas", "polars", "numba", "pydantic", "yaml", "rich", "genai_prices"} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
