"""What a visit shows first: a sketch of the picture as HTML that agrees with the figure."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal

import spiky as made
from hypothesis import given
from hypothesis import strategies as some

from dashboard.render import daily_charts, first_paint, palette

DAYS = [date(2024, 3, 1) + timedelta(days=number) for number in range(4)]


def drawn(stacks: dict[str, list[Decimal]]) -> str:
    return first_paint.bars(daily_charts.trajectory(DAYS, stacks, palette.assign(list(stacks))), "what it shows")


@given(some.floats(1e-6, 1e9))
def test_the_scale_has_few_round_ticks_and_holds_every_bar(most: float) -> None:
    step, top = first_paint.scale(most)
    assert top >= most * (1 - 1e-9)
    assert 1 <= round(top / step) <= first_paint.TICKS + 1
    assert f"{step:.0e}"[0] in "125"


def test_a_sketched_bar_is_as_high_as_the_day_is_dear_and_striped_as_the_figure() -> None:
    page = drawn({"a": [Decimal(n) for n in range(4)], "b": [Decimal(1)] * 4})
    heights = [float(found) for found in re.findall(r"<i style=\"height:([\d.]+)%", page)]
    assert heights == [25.0, 50.0, 75.0, 100.0]  # of an axis to $4
    blue, amber = palette.HUES[:2]
    assert f"linear-gradient(0deg,{blue} 0.0% 50.0%,{amber} 50.0% 100.0%)" in page
    assert re.findall(r">(\$[\d.,]+)<", page) == ["$0", "$1", "$2", "$3", "$4"]
    assert "<span>1 Mar</span><span>USD per day</span><span>4 Mar</span>" in page


def test_a_name_from_a_log_is_text_in_the_sketch_and_in_the_legend() -> None:
    page = drawn({made.HOSTILE_AGENT: [Decimal(1)] * 4})
    assert "<script" not in page
    assert "<b>agent" not in page
    long = daily_charts.legend("customer-facing-research-department-agent-3")
    assert len(long) <= daily_charts.LEGEND_CHARS
    assert long.startswith("customer-")
    assert long.endswith("-agent-3")


def test_nothing_to_draw_is_an_empty_sketch() -> None:
    assert "hc-sketch" in first_paint.bars(daily_charts.trajectory([], {}, {}), "")
