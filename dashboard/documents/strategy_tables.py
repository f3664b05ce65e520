"""What compares strategies: their colours, daily lines, table, and what a verdict rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from analysis.formatting import money, share
from analysis.money import dollars
from dashboard.render.daily_charts import Line
from dashboard.render.palette import GOOD, GREY, HUES
from dashboard.render.tables import Column, Table
from replay.advice.recommend import recommended
from replay.advice.result_in_words import quality_text, verdict
from replay.engine.run import Replay, StrategyResult
from replay.quality.evidence import EVIDENCE


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
