"""Proof tables, lines and sentences made of the commands' documents: the same on a page and in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from analysis.anomalies import alerts as alert_words
from analysis.diagnosis import narrative
from analysis.formatting import money, share
from analysis.money import dollars
from dashboard.documents import document_views
from dashboard.render.daily_charts import Line
from dashboard.render.palette import GOOD, GREY, HUES
from dashboard.render.tables import Column, Table
from replay.advice.recommend import recommended
from replay.advice.result_in_words import quality_text, verdict
from replay.engine.run import Replay, StrategyResult
from replay.quality.evidence import EVIDENCE

MOST_SHARE = 2.0
SHARE = "Of the whole difference; none where rises and falls nearly cancel"


def movers(found: document_views.Document, limit: int = 3) -> Table:
    """The largest causes, or drivers where no cause is named."""
    named = [cause for cause in document_views.causes(found) if cause["surprising"]]
    rows: list[tuple[object, ...]] = [
        (Decimal(cause["delta"]), cause["share"], cause["title"], document_views.places(cause), _advice(cause))
        for cause in named
    ]
    if not rows:
        rows = [
            (
                line.delta,
                line.share,
                narrative.what(line),
                narrative.place(line.segment),
                None,
            )
            for line in document_views.driver_lines(found)
        ]
    return Table(
        f"The largest movers of {found['day']}",
        (
            Column("USD", lambda value: money(value, sign=True), figure=True),
            Column("share", _part, figure=True, about=SHARE, minor=True),
            Column("what"),
            Column("where"),
            Column("what to do", minor=True),
        ),
        tuple(rows[:limit]),
    )


def _part(value: float | None) -> str:
    """A share of the change; none is given where changes up and down cancel so far that it says nothing."""
    return "-" if value is None or abs(value) > MOST_SHARE else share(value)


def days(report: document_views.Document, drawn: document_views.Trajectory, dimension: str) -> Table:
    """What the bars show: each day's dollars by name and in all, and its calls; the newest day first.

    `drawn` has the report's days and names, before days are put into weeks.
    """
    calls: dict[date, int] = {}
    priced: set[date] = set()
    for row in report["rows"]:
        if row["day"] is not None:
            day = date.fromisoformat(row["day"])
            calls[day] = calls.get(day, 0) + row["calls"]
            if row["cost_usd"] is not None:
                priced.add(day)
    at = {day: position for position, day in enumerate(drawn.days)}
    rows = tuple(
        (
            day,
            *(amounts[at[day]] or None for amounts in drawn.stacks.values()),
            drawn.totals[at[day]] if day in priced else "unpriced",
            calls[day],
        )
        for day in sorted(calls, reverse=True)
    )
    columns = (
        Column("day", lambda day: f"{day:%a} {day.day} {day:%b %Y}"),
        *(Column(name, _dollars_or_dash, figure=True, minor=True) for name in drawn.stacks),
        Column("all, USD", _dollars_or_dash, figure=True),
        Column("calls", lambda value: f"{value:,}", figure=True),
    )
    return Table(f"Cost per day by {dimension}, in USD", columns, rows)


def _dollars_or_dash(value: object) -> str:
    return money(value) if isinstance(value, Decimal) else "-" if value is None else str(value)


def causes(found: document_views.Document) -> Table:
    """Causes that would surprise: dollars, where, evidence where there is any, fix, what undoing saves."""
    columns: tuple[Column, ...] = (
        Column("USD", lambda value: money(value, sign=True), figure=True),
        Column("cause"),
        Column("where"),
        Column("evidence", lambda value: "-" if value is None else str(value).replace("->", "→"), minor=True),
        Column("what to do", minor=True),
        Column(
            "undo saves a day",
            lambda value: "-" if value is None or value <= 0 else money(value),
            figure=True,
            minor=True,
        ),
        Column(
            "confidence",
            share,
            figure=True,
            about="How much better this cause fits the calls than its rivals",
            minor=True,
        ),
    )
    rows: tuple[tuple[object, ...], ...] = tuple(
        (
            Decimal(cause["delta"]),
            cause["title"],
            document_views.places(cause),
            "; ".join(cause["evidence"]) or None,
            _advice(cause),
            document_views.dollars(cause["undo_saves"]),
            cause["confidence"] if cause["surprising"] else None,
        )
        for cause in document_views.causes(found)
    )
    at = [column.title for column in columns].index("evidence")
    if not any(row[at] for row in rows):
        columns = (*columns[:at], *columns[at + 1 :])
        rows = tuple((*row[:at], *row[at + 1 :]) for row in rows)
    return Table(f"Causes of {found['day']}", columns, rows)


def _advice(cause: document_views.Document) -> str | None:
    """What to do about a cause; nothing where it saved money."""
    return str(cause["fix"]) if Decimal(cause["delta"]) > 0 else None


def alerts(found: document_views.Document) -> Table:
    """What stands out on the day beside the total: agents, hours, ratios, drift, and rules that need no history."""
    columns = (Column("what"), Column("on the day", figure=True), Column("expected", figure=True))
    rows = tuple(
        (
            alert_words.title(alert),
            alert_words.figure(alert, alert.actual),
            alert_words.figure(alert, alert.expected),
        )
        for alert in (alert_words.Alert(**document) for document in found["alerts"])
    )
    return Table(f"What else stands out on {found['day']}", columns, rows)


def drivers(found: document_views.Document) -> Table:
    """Segment, factor, dollars, share, before and after, and what undoing it saves."""
    columns = (
        Column("share", _part, figure=True, about=SHARE, minor=True),
        Column("USD", lambda value: money(value, sign=True), figure=True),
        Column("where"),
        Column("what"),
        Column("before", figure=True, minor=True),
        Column("after", figure=True, minor=True),
        Column("undo saves a day", lambda value: "-" if value is None else money(value), figure=True,
               about="What the day would cost less if this alone went back to its baseline", minor=True),
    )  # fmt: skip
    rows = tuple(
        (
            line.share,
            line.delta,
            narrative.place(line.segment),
            narrative.what(line),
            *narrative.pair(line),
            line.undo_saves,
        )
        for line in document_views.driver_lines(found)
    )
    unexplained = f"{money(document_views.dollars(found['residual']))} unexplained"
    share = 1.0 if document_views.amount(found["delta"]) else None
    total = (share, document_views.dollars(found["delta"]), "sums to the change", unexplained, "", "", None)
    return Table(f"Drivers of {found['day']}", columns, rows, total=total)


def strategy_colours(result: Replay) -> dict[str, str]:
    """The recommended strategy is green, the others keep hues in the order of the files."""
    best = recommended(result.strategies)
    hues = iter([hue for hue in HUES if hue != HUES[2]] * 10)
    return {
        entry.name: GOOD if best is not None and entry.name == best.name else next(hues) for entry in result.strategies
    }


def trajectories(
    costs: Mapping[date, Decimal],
    whole_days: Sequence[date],
    result: Replay,
    colours: Mapping[str, str],
) -> list[Line]:
    """What was logged, over all days, and each strategy over the replayed ones; dashed where quality does not pass.

    A band is drawn where the cost of a strategy is a range.
    """
    # a day that the log covers in part would look like a day that cost little
    logged = {day: costs.get(day, Decimal(0)) for day in whole_days} or dict(costs)
    lines = [Line("logged", list(logged), list(logged.values()), GREY, filled=True)]
    for entry in result.strategies:
        if not entry.savings_pico:
            continue  # declares no stage: the logged line
        priced = [row for row in entry.daily if row.priced]
        daily, called = {row.day: dollars(row.cost_pico) for row in priced}, {row.day for row in entry.daily}
        first, last = min(daily, default=None), max(daily, default=None)
        if first is None or last is None:
            continue
        # a day without calls cost nothing under any policy; one whose calls have no price is left out
        quiet = {day: Decimal(0) for day in logged if first <= day <= last and day not in called}
        daily = dict(sorted({**daily, **quiet}.items()))
        low = high = None
        if entry.low_pico != entry.high_pico:
            lows = {row.day: dollars(row.low_pico or 0) for row in priced}
            highs = {row.day: dollars(row.high_pico or 0) for row in priced}
            low, high = ([end.get(day, Decimal(0)) for day in daily] for end in (lows, highs))
        lines.append(
            Line(
                entry.name,
                list(daily),
                list(daily.values()),
                colours[entry.name],
                dashed=entry.quality["verdict"] != "passes",
                low=low,
                high=high,
            )
        )
    return lines


def comparison(result: Replay, colours: Mapping[str, str]) -> Table:
    """The table of the terminal."""
    columns = (
        Column("strategy", swatch=lambda name: GREY if name == "logged" else colours.get(name)),
        Column("USD a day", money, figure=True, about="Mean over the complete days; one without a call costs $0"),
        Column("saved", share, figure=True),
        Column("verdict", strong=lambda value: str(value).startswith("fails")),
        Column("quality (90 % lower)", figure=True, minor=True,
               about="Relative to what was logged; in brackets the one-sided 90 % lower bound"),
        Column("hit rate", share, figure=True, minor=True,
               about="Calls that a cache tier answers, of all calls that ask anew"),
        Column("range in total", figure=True, minor=True,
               about="Where answer lengths of another model are not known: low to high"),
    )  # fmt: skip
    rows: list[tuple[object, ...]] = [("logged", result.per_day(), None, "baseline", "1.00", None, None)]
    for entry in result.strategies:
        low, high = (dollars(end) if entry.priced_calls else None for end in (entry.low_pico, entry.high_pico))
        rows.append(
            (
                entry.name,
                entry.per_day(),
                entry.saved_share if entry.priced_calls else None,
                verdict(entry),
                quality_text(entry),
                entry.hit_rate if entry.tier_hits else None,
                f"{money(low)} to {money(high)}" if money(low) != money(high) else money(low),
            )
        )
    return Table("Strategies over the same traffic", columns, tuple(rows))


def evidence(result: StrategyResult) -> str:
    """What the verdict rests on."""
    quality = result.quality
    parts = [f"Verdict: {verdict(result)}."]
    if kind := quality.get("evidence"):
        parts.append(f"What is known of the answers, at its weakest: {EVIDENCE.get(kind, kind)}.")
    if quality.get("unknown_share") is not None:
        parts.append(f"Share of calls with unknown quality: {share(quality['unknown_share'])}.")
    return " ".join(parts)
