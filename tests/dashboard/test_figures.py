"""The pictures: they show the data they are given, keep their colours, and treat names from logs as names."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dashboard.documents import document_views, evidence_tables
from dashboard.render import daily_charts, palette, tables
from dashboard.render.daily_charts import Line, Step

DAYS = [date(2024, 3, 1) + timedelta(days=number) for number in range(5)]
MONEY = some.decimals(min_value=-9999, max_value=9999, places=4)


def test_a_stacked_bar_shows_every_dollar_it_is_given() -> None:
    stacks = {"a": [Decimal(n) for n in range(5)], "b": [Decimal("0.25")] * 5}
    figure = daily_charts.trajectory(DAYS, stacks, palette.assign(["a", "b"]))
    assert [list(trace.y) for trace in figure.data] == [[0, 1, 2, 3, 4], [0.25] * 5]
    assert [trace.marker.color for trace in figure.data] == list(palette.HUES[:2])
    assert figure.layout.barmode == "stack"
    assert figure.layout.yaxis.title.text == "USD per day"


def test_the_spike_is_marked_on_its_day() -> None:
    figure = daily_charts.trajectory(DAYS, {"a": [Decimal(1)] * 4 + [Decimal(9)]}, {}, spike=DAYS[4])
    (mark,) = figure.layout.annotations
    assert (mark.x, mark.y) == (DAYS[4], 9)
    assert "Tue 5 Mar: $9.00" in mark.text


@settings(deadline=None, max_examples=25)
@given(some.lists(MONEY, max_size=8), MONEY)
def test_a_waterfall_ends_where_its_steps_lead(changes: list[Decimal], start: Decimal) -> None:
    end = start + sum(changes, Decimal(0))
    steps = [Step("from", start, "total"), *(Step("x", change) for change in changes), Step("to", end, "total")]
    figure = daily_charts.waterfall(steps)
    trace, said = figure.data
    assert said.x[-1] == pytest.approx(max(0.0, float(end)))
    assert trace.measure[0] == trace.measure[-1] == "absolute"
    assert trace.x[0] + sum(trace.x[1:-1]) == pytest.approx(float(end), abs=1e-6)
    low, high = figure.layout.xaxis.range
    assert low <= min(0, float(end)) <= max(0, float(start)) <= max(high, 0)


@settings(deadline=None)
@given(some.text(max_size=60))
def test_a_name_from_a_log_never_becomes_markup_of_a_label(name: str) -> None:
    shown = daily_charts.plain(name)
    assert "<" not in shown.replace("<br>", "")
    assert ">" not in shown.replace("<br>", "")
    assert "%{" not in shown


def test_the_mountain_and_the_hill_stand_in_one_picture() -> None:
    lines = [
        Line("logged", DAYS, [Decimal(800)] * 5, palette.GREY, filled=True),
        Line("routed", DAYS[3:], [Decimal(170)] * 2, palette.GOOD, low=[Decimal(150)] * 2, high=[Decimal(190)] * 2),
        Line("naive", DAYS, [Decimal(120)] * 5, palette.HUES[1], dashed=True),
    ]
    figure = daily_charts.comparison(lines, spike=DAYS[2])
    named = {trace.name: trace for trace in figure.data}
    assert list(named["logged"].y) == [800] * 5
    assert named["naive"].line.dash == "dot"
    assert list(named["routed range"].y) == [190, 190, 150, 150]
    assert figure.layout.yaxis.rangemode == "tozero"


def test_the_colours_differ_for_colour_blind_eyes_and_read_on_both_themes() -> None:
    # Viénot, Brettel and Mollon (1999): dichromats in linear RGB
    kinds = {
        "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "protan": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
        "deutan": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
    }
    for kind, matrix in kinds.items():
        seen = {hue: _lab(_through(matrix, _linear(hue))) for hue in palette.HUES[:6]}
        for one, other in combinations(seen, 2):
            distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
            assert distance > 12, (kind, one, other, distance)
    for hue in (*palette.HUES, palette.ACCENT, palette.GOOD, palette.GREY):
        for page in ("#ffffff", "#101418"):
            assert _contrast(hue, page) > 2.7, (hue, page)


def test_an_agent_keeps_its_colour_when_others_are_filtered_out() -> None:
    colours = palette.assign(["a", "b", "c"])
    report = {"rows": [{"day": "2024-03-01", "agent": name, "cost_usd": "1"} for name in ("c", "b")]}
    drawn = document_views.trajectory(report, "agent", colours)
    assert list(drawn.stacks) == ["b", "c"]
    assert [colours[name] for name in drawn.stacks] == list(palette.HUES[1:3])


@settings(deadline=None)
@given(
    some.lists(
        some.tuples(some.sampled_from(DAYS), some.integers(0, 14), some.decimals(0, 99, places=6)),
        min_size=1,
        max_size=60,
    )
)
def test_a_trajectory_keeps_every_dollar_however_many_names_there_are(rows: list[tuple[date, int, Decimal]]) -> None:
    report = {"rows": [{"day": day.isoformat(), "agent": f"agent {n}", "cost_usd": str(usd)} for day, n, usd in rows]}
    drawn = document_views.trajectory(report, "agent", {}, limit=5)
    assert len(drawn.stacks) <= 5
    assert sum(drawn.totals) == sum(usd for _, _, usd in rows)


@settings(deadline=None)
@given(some.dictionaries(some.dates(date(2023, 1, 1), date(2024, 12, 31)), some.decimals(0, 99, places=6), min_size=2))
def test_weeks_of_a_long_log_keep_every_dollar(costs: dict[date, Decimal]) -> None:
    report = {"rows": [{"day": day.isoformat(), "agent": "a", "cost_usd": str(usd)} for day, usd in costs.items()]}
    drawn = document_views.by_week(document_views.trajectory(report, "agent", {}))
    assert sum(drawn.totals) == sum(costs.values())
    assert len(drawn.days) <= document_views.MOST_BARS
    if drawn.weekly:
        assert {day.weekday() for day in drawn.days} == {0}


def test_a_spreadsheet_does_not_run_a_name_as_a_formula() -> None:
    table = tables.Table("t", (tables.Column("name"), tables.Column("usd")), (("=cmd()", Decimal("-1.50")),))
    assert tables.to_csv(table).decode() == "name,usd\n'=cmd(),-1.50\n"


def test_a_table_escapes_what_a_log_says() -> None:
    table = tables.Table("t", (tables.Column("name"),), (("<script>x</script>",),))
    assert "<script>" not in tables.html(table)
    assert tables.markdown(table).splitlines()[-1] == "| \\<script\\>x\\</script\\> |"


def _linear(hue: str) -> list[float]:
    parts = [int(hue[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def _through(matrix: tuple[tuple[float, ...], ...], rgb: list[float]) -> list[float]:
    return [max(0.0, sum(weight * part for weight, part in zip(row, rgb, strict=True))) for row in matrix]


def _lab(rgb: list[float]) -> list[float]:
    red, green, blue = rgb
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def _contrast(one: str, other: str) -> float:
    light = sorted(
        sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), _linear(hue), strict=True)) for hue in (one, other)
    )
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize(("change", "ordinary", "first"), [("10", "6", "more traffic"), ("-10", "-6", "more traffic"),
                                                            ("10", "4", "a loop"), ("10", "-6", "a loop")])  # fmt: skip
def test_what_moved_most_is_the_largest_part_even_if_it_is_ordinary(change: str, ordinary: str, first: str) -> None:
    def cause(name: str, title: str, delta: str, *, surprising: bool) -> dict[str, object]:
        return {"cause": name, "title": title, "delta": delta, "share": None, "surprising": surprising, "fix": "none",
                "segments": [{"agent": "a"}]}  # fmt: skip

    causes = [
        cause("loop", "a loop", "1", surprising=True), cause("traffic", "more traffic", ordinary, surprising=False),
        cause("smaller", "smaller changes", change, surprising=False),
    ]  # fmt: skip
    found = evidence_tables.movers({"day": "2026-01-02", "delta": change, "causes": causes})
    assert found.rows[0][2] == first
    assert "smaller changes" not in [row[2] for row in found.rows]
