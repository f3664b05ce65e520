"""What stands out on a day beside the total: agents, hours, ratios, slow drift, and rules that need no history.

Series of one kind are judged together under one false discovery rate (Benjamini and Hochberg 1995), so that watching
fifty agents raises no fifty times the alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb
import numpy as np

from analysis import formatting, time_zone
from analysis.anomalies.detector import FLOOR_USD, Judgement, judge, judge_hours
from analysis.anomalies.hourly_activity import day_rows, dearest_agents, hours, new_agents

RATE: Final = 0.05  # of alerts of one kind that may be false
RATIOS: Final = ("input tokens per call", "output tokens per call", "share read from cache", "calls per request")
RATIO_FLOOR: Final = 0.1  # relative change of a ratio, below which nobody would act
DRIFT_SLACK: Final = 0.5  # of a day's error, that the slow-drift sum forgives each day
DRIFT_LIMIT: Final = 6.0  # errors, for the sum to be news
WATCHED: Final = 20  # agents, the dearest first
REMEMBERED: Final = 60  # days before the day, that say what is usual and which agents are known


@dataclass(frozen=True)
class Alert:
    """`what` is the series or rule, `actual` against `expected` in its own unit."""

    kind: str  # agent, hour, ratio, drift, new_agent, unpriced
    what: str
    actual: float | None
    expected: float | None
    p_value: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings, days as ISO dates."""
        return {
            "kind": self.kind, "what": self.what, "actual": self.actual, "expected": self.expected,
            "p_value": self.p_value,
        }  # fmt: skip


def in_words(found: Sequence[Alert]) -> list[str]:
    """Each alert as a line, amounts against what was expected; the hours share one, led by the furthest off."""
    lines = []
    for alert in found:
        if alert.kind == "hour":
            continue
        actual, expected = figure(alert, alert.actual), figure(alert, alert.expected)
        ends = {"drift": f", {expected} when it began", "new_agent": ""}
        lines.append(f"{title(alert)}: {actual}{ends.get(alert.kind, f', expected {expected}')}")
    odd = [alert for alert in found if alert.kind == "hour"]
    if odd:
        worst = max(odd, key=lambda alert: (abs((alert.actual or 0.0) - (alert.expected or 0.0)), alert.what))
        hour = f"{title(worst)}: {figure(worst, worst.actual)}, expected {figure(worst, worst.expected)}"
        lines.append(f"{len(odd)} hours, most of all {hour.removeprefix('the hour ')}" if len(odd) > 1 else hour)
    return lines


def title(alert: Alert) -> str:
    """What stands out, as a clause without its figures."""
    forms = {
        "agent": "agent {}",
        "new_agent": "new agent {}",
        "drift": "{} day after day",
        "hour": "the hour {} with the hour before it",
    }
    return forms.get(alert.kind, "{}").format(alert.what)


def figure(alert: Alert, value: float | None) -> str:
    """A figure of the alert in its own unit: dollars, calls, a share, or a mean; `-` where there is none."""
    if value is None:
        return "-"
    if alert.kind == "unpriced":
        return f"{value:,.0f}"
    if alert.kind == "ratio":
        if alert.what.startswith("share"):
            return formatting.share(value)
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return formatting.money(Decimal(repr(round(value, 6))))


def alerts(
    con: duckdb.DuckDBPyConnection, day: date, judged: Mapping[date, Judgement], table: str = "activity"
) -> list[Alert]:
    """Everything that stands out on `day`, by kind, then by how unlikely it is. After `activity` on this connection,
    which left its hours in `table`."""
    first, end = day - timedelta(days=REMEMBERED), day + timedelta(days=1)
    rows = day_rows(con, first, end, table)
    agents = dearest_agents(con, first, end, WATCHED, table)
    found = [*_agents(agents, [row[0] for row in rows], day), *_hours(con, day, table), *_ratios(rows, day)]
    drift = _drift(judged, day)
    newcomers = [
        Alert("new_agent", name, usd, 0.0, None) for name, usd in new_agents(con, first, day, FLOOR_USD, table)
    ]
    return [*found, *([drift] if drift else []), *newcomers, *_unpriced(rows, day)]


def false_discoveries(p_values: Sequence[float], rate: float = RATE) -> list[bool]:
    """Which of the p-values stand, so that of those that do at most `rate` are false (Benjamini and Hochberg)."""
    order = sorted(range(len(p_values)), key=lambda i: (p_values[i], i))
    last = max((n for n, i in enumerate(order, 1) if p_values[i] <= rate * n / len(order)), default=0)
    kept = set(order[:last])
    return [i in kept for i in range(len(p_values))]


def _standing(found: list[Alert]) -> list[Alert]:
    kept = false_discoveries([alert.p_value if alert.p_value is not None else 1.0 for alert in found])
    return sorted((a for a, k in zip(found, kept, strict=True) if k), key=lambda a: (a.p_value, a.what))


def _agents(dearest: Mapping[str, Mapping[date, float]], days: Sequence[date], day: date) -> list[Alert]:
    found = []
    for name, costs in dearest.items():
        begun = min(costs)
        one = judge({d: costs.get(d, 0.0) for d in days if d >= begun}).get(day)
        if one and one.p_value is not None and one.forecast and abs(one.actual - one.forecast) >= FLOOR_USD:
            found.append(Alert("agent", name, one.actual, one.forecast, one.p_value))
    return _standing(found)


def _hours(con: duckdb.DuckDBPyConnection, day: date, table: str) -> list[Alert]:
    costs = hours(con, day - timedelta(days=28), day + timedelta(days=1), table)
    odd = time_zone.odd_hours(day)
    odd |= {hour + 1 for hour in odd}  # each is judged with the hour before it
    flagged = [j for j in judge_hours(costs) if j.hour.date() == day and j.flagged and j.hour.hour not in odd]
    return [Alert("hour", f"{j.hour:%H:00} {time_zone.label()}", j.actual, j.forecast, j.p_value) for j in flagged]


def _ratios(rows: Sequence[tuple[Any, ...]], day: date) -> list[Alert]:
    """Ratios of the whole log: they wobble far less than dollars, so they speak first."""
    series: dict[str, dict[date, float]] = {name: {} for name in RATIOS}
    for d, _, calls, tokens, output, read, _, _, retries in rows:
        if calls:
            series[RATIOS[0]][d] = tokens / calls
            series[RATIOS[1]][d] = output / calls
            series[RATIOS[2]][d] = read / tokens if tokens else 0.0
            series[RATIOS[3]][d] = calls / max(calls - retries, 1.0)
    found = []
    for name, values in series.items():
        one = judge(values, floor=0.0).get(day)
        if one and one.p_value is not None and one.forecast and abs(one.actual / one.forecast - 1) >= RATIO_FLOOR:
            found.append(Alert("ratio", name, one.actual, one.forecast, one.p_value))
    return _standing(found)


def _drift(judged: Mapping[date, Judgement], day: date) -> Alert | None:
    """A slow rise: the one-step errors lean the same way day after day (a one-sided CUSUM of their standard scores)."""
    past = [judged[d] for d in sorted(judged) if d <= day and judged[d].forecast is not None]
    if len(past) < 7:
        return None
    errors = np.array([j.error for j in past])
    scale = 1.4826 * float(np.median(np.abs(errors))) or 1.0
    total = begun = 0.0
    for j, z in zip(past, errors / scale, strict=True):
        total = max(0.0, total + min(float(z), 3.0) - DRIFT_SLACK)
        if total == 0:
            begun = j.actual
    if total < DRIFT_LIMIT or past[-1].flagged:
        return None
    return Alert("drift", "daily cost leans upward", past[-1].actual, begun or past[0].actual, None)


def _unpriced(rows: Sequence[tuple[Any, ...]], day: date) -> list[Alert]:
    """A rule that needs no history: calls that lost their price."""
    before = [row for row in rows if row[0] < day]
    unpriced, calls = next(((row[6], row[7]) for row in rows if row[0] == day), (0, 0))
    usual = sum(row[6] for row in before) / max(sum(row[7] for row in before), 1)
    if calls and unpriced >= 10 and unpriced / calls > 2 * usual + 0.02:
        return [Alert("unpriced", "calls without a price", float(unpriced), usual * calls, None)]
    return []
