"""What the Overview can show of each day beside dollars: calls, tokens, unit costs, errors and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from analysis.formatting import count as counted
from analysis.formatting import money, share, tokens
from dashboard.render.daily_charts import Line
from dashboard.render.palette import ACCENT, HUES

Document = Mapping[str, Any]
DOLLARS: Final = "US dollars"
CALLS: Final = "calls"
TOKENS: Final = "tokens"
ERRORS: Final = "errors"
LATENCY: Final = "latency"
UNITS: Final = {
    "cost per conversation": "conversation",
    "cost per request": "request",
    "cost per user": "user",
    "cost per good outcome": "outcome",
}
NAMES: Final = (DOLLARS, *UNITS, CALLS, TOKENS, ERRORS, LATENCY)
STACKED: Final = (DOLLARS, CALLS, TOKENS)


def seconds(milliseconds: float | Decimal | None) -> str:
    """`840 ms`, `12.3 s`, `4.2 min`; `-` where it is not known."""
    if milliseconds is None:
        return "-"
    value = float(milliseconds)
    if value < 1000:
        return f"{value:,.0f} ms"
    return f"{value / 1000:,.1f} s" if value < 120_000 else f"{value / 60_000:,.1f} min"


def as_counts(report: Document, measure: str) -> dict[str, Any]:
    """A cost report whose dollars are calls or tokens (input and output), so that it is drawn as one of dollars."""

    def amount(row: Document) -> int:
        if measure == CALLS:
            return int(row["calls"])
        return int(row["input_tokens"] or 0) + int(row["output_tokens"] or 0)

    return {**report, "rows": [{**row, "cost_usd": str(amount(row))} for row in report["rows"]]}


def count_text(value: Decimal | None) -> str:
    """A number of calls or tokens."""
    return tokens(None if value is None else round(value))


@dataclass(frozen=True)
class Daily:
    """A figure of each day as lines, and its finding."""

    finding: str
    unit: str
    lines: tuple[Line, ...]
    note: str = ""


def errors(rows: Sequence[Document], whole: Document) -> Daily:
    """Share of failed calls. `rows` by day, `whole` of the window."""
    known = [row for row in rows if row["day"] and row["error_share"] is not None]
    lines = _line("errors", known, "error_share", ACCENT, factor=100)
    text = f"{share(whole['error_share'])} of the calls failed: {whole['errors']:,} of {whole['known_calls']:,}"
    return Daily(text if known else "The log tells of no call whether it failed", "% of calls", lines)


def latency(rows: Sequence[Document], whole: Document) -> Daily:
    """p50 and p95 of the durations of calls that succeeded, in seconds."""
    known = [row for row in rows if row["day"] and row["p50_ms"] is not None]
    if not known:
        return Daily("The log tells no duration of a call that succeeded", "seconds", ())
    lines = _line("p50", known, "p50_ms", HUES[0], factor=0.001) + _line("p95", known, "p95_ms", ACCENT, factor=0.001)
    finding = f"Half of the calls took at most {seconds(whole['p50_ms'])}, 95 % at most {seconds(whole['p95_ms'])}"
    note = f"Of {counted(whole['timed_calls'], 'call')} that succeeded and have a duration."
    return Daily(finding, "seconds", lines, note)


def unit_cost(found: Document, measure: str, summary: str) -> Daily:
    """Dollars per unit and day with their 90 % interval; `summary` is the sentence of the whole window."""
    rows = [row for row in found["rows"] if row["day"] and row["usd_per_unit"] is not None]
    rows.sort(key=lambda row: str(row["day"]))
    days = [date.fromisoformat(row["day"]) for row in rows]
    usd = [Decimal(row["usd_per_unit"]) for row in rows]
    bounded = bool(rows) and all(row["low_usd"] is not None and row["high_usd"] is not None for row in rows)
    line = Line(
        measure, days, usd, HUES[0],
        low=[Decimal(row["low_usd"]) for row in rows] if bounded else None,
        high=[Decimal(row["high_usd"]) for row in rows] if bounded else None,
    )  # fmt: skip
    left = found["total"]["left_out_calls"]
    note = f"Left out, without such a unit or a price: {counted(left, 'call')}. " if left else ""
    note += "The band is the 90 % interval of each day's mean. " if bounded else ""
    return Daily(summary.rstrip("."), f"USD {measure.removeprefix('cost ')}", (line,) if rows else (), note.strip())


def per_unit(total: Document) -> str:
    """`$0.42 ($0.31 to $0.58)`, or `-` where no unit has a price."""
    if total["usd_per_unit"] is None:
        return "-"
    text = money(Decimal(total["usd_per_unit"]))
    if total["low_usd"] is None:
        return text
    high = "no upper end" if total["high_usd"] is None else money(Decimal(total["high_usd"]))
    return f"{text} ({money(Decimal(total['low_usd']))} to {high})"


def _line(name: str, rows: Sequence[Document], field: str, hue: str, *, factor: float) -> tuple[Line, ...]:
    if not rows:
        return ()
    days = [date.fromisoformat(row["day"]) for row in rows]
    return (Line(name, days, [Decimal(repr(float(row[field]) * factor)) for row in rows], hue),)
