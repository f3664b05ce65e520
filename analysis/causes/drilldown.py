"""From a cause down to its calls: where inside its place the dollars sit, and how to list its sessions and calls.

A cause names segments of the dimensions that were asked for. Which model, prompt and hours inside them took the
change is summed here over all causes at once. The commands and the SQL list what a person wants to see next; both can
be pasted as they are.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from analysis import time_zone
from analysis.attribution.segment_sums import segment_sql
from analysis.causes.call_evidence import AMOUNT, FIRST, MISSING_USAGE, CallQueries, scope_condition
from analysis.causes.cause_signatures import Cause
from analysis.dimensions import dimension, pattern

LOOKED_INTO: Final = 3  # causes, the most telling first
MOST: Final = 0.6  # of the change, for one value to be where it sits
BEYOND: Final = 0.2  # more than the value's part of an ordinary day, else it is only as large as ever
HOURS: Final = 8  # at most, for hours to be named
IN_HOURS: Final = 0.8  # of the change
ALL: Final = 1.2  # of the change: one value that holds more runs against the others
ALIKE: Final = 2.0  # times what the place's calls changed by, or a part of it, that a cause may be to be placed by them
MOST_PLACES: Final = 3  # that get a command of their own
LISTED: Final = 20  # rows of the SQL
# what a filter of `hindcast calls` is called where it is not --where NAME=
_OPTIONS: Final = {"agent": "--agent", "task": "--task", "model": "--model", "user": "--user"}
_OWN: Final = {  # of the calls of its place, those that are the cause
    "retry_storm": f"NOT ({FIRST})",
    "usage_missing": MISSING_USAGE,
}
Place = Mapping[str, str | None]
Sides = dict[str | int | None, list[float]]  # value -> amount of a baseline day, of the day


@dataclass(frozen=True)
class Inside:
    """`share` of a cause's change sits where `dimension` has the value; `hours` reads `09:00-12:00 UTC`."""

    dimension: str
    value: str
    share: float

    def __str__(self) -> str:
        part = "all" if self.share >= 0.995 else f"{100 * self.share:.0f} %"
        return f"{part} {f'at {self.value}' if self.dimension == 'hours' else f'in {self.dimension} {self.value}'}"


def sits(found: Sequence[Inside]) -> str:
    """`all in model gpt-4, 93 % at 14:00-15:00 UTC`."""
    return ", ".join(map(str, found))


def inside(causes: Sequence[Cause], queries: CallQueries) -> list[list[Inside]]:
    """For each cause the model, the prompt and the hours that hold most of what the calls of its place changed by;
    empty where that is spread like every day, or is another amount than the cause's."""
    if not causes:
        return []
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for i, cause in enumerate(causes):
        condition, more = scope_condition(cause.segments or [{}], f"c{i}_")
        own = _OWN.get(cause.cause)
        conditions.append(f"{condition} AND {own}" if own else condition)
        values |= more
    base, dates = queries.base([{}])
    amount = AMOUNT[queries.metric]
    sums = ", ".join(f"coalesce(sum({amount}) FILTER ({condition}), 0)::DOUBLE" for condition in conditions)

    def sides(*columns: str) -> list[tuple[Any, ...]]:
        # one grouping a question: DuckDB answers several at once on one thread
        return queries.ask(
            f"""SELECT today, {", ".join(columns)}, {sums} FROM ({base} AND ({" OR ".join(conditions)}))
            GROUP BY today, {", ".join(columns)} ORDER BY ALL""",
            {**dates, **values},
        )

    tables = [(("model", "hours"), sides(segment_sql("model"), "hour(start_time)")),
              (("prompt",), sides(segment_sql("prompt")))]  # fmt: skip
    days = max(len(queries.days), 1)
    found: list[list[Inside]] = []
    for i, cause in enumerate(causes):
        totals: dict[str, Sides] = {"model": {}, "prompt": {}, "hours": {}}
        for names, rows in tables:
            for today, *keys in rows:
                worth = keys[len(names) + i]
                for name, value in zip(names, keys, strict=False):
                    pair = totals[name].setdefault(value, [0.0, 0.0])
                    pair[today] += worth if today else worth / days
        delta = cause.delta / queries.unit
        change = sum(after - before for before, after in totals["hours"].values())
        told: list[Inside | None] = []
        if delta * change > 0 and 1 / ALIKE <= delta / change <= ALIKE:
            told = [_value(name, totals[name], change) for name in ("model", "prompt") if not _names(cause, name)]
            told.append(_hours(totals["hours"], change))
        found.append([one for one in told if one is not None])
    return found


def _names(cause: Cause, dimension: str) -> bool:
    return any(dimension in segment for segment in cause.segments)


def _value(name: str, sides: Sides, change: float) -> Inside | None:
    if len(sides) < 2:
        return None
    top = max(sides, key=lambda value: ((sides[value][1] - sides[value][0]) / change, str(value)))
    share = (sides[top][1] - sides[top][0]) / change
    before = sum(a for a, _ in sides.values())
    usual = sides[top][0] / before if before else 0.0
    if top is None or not MOST <= share <= ALL or share < usual + BEYOND:
        return None
    return Inside(name, str(top), min(share, 1.0))


def _hours(sides: Sides, change: float) -> Inside | None:
    """The shortest run of hours that holds nearly all of the change, if the day usually puts far less into it."""
    hourly = [sides.get(hour, [0.0, 0.0]) for hour in range(24)]
    before = sum(a for a, _ in hourly)
    for width in range(1, HOURS + 1):
        runs = [(sum(b - a for a, b in hourly[h : h + width]) / change, h) for h in range(25 - width)]
        share, first = max(runs, key=lambda run: (run[0], -run[1]))
        if share >= IN_HOURS:
            usual = sum(a for a, _ in hourly[first : first + width]) / before if before else 0.0
            if usual > share / 2 or share > ALL:
                return None
            return Inside("hours", f"{first:02d}:00-{first + width:02d}:00 {time_zone.label()}", min(share, 1.0))
    return None


def commands(segments: Sequence[Place], day: date, *, cause: str | None = None, store: str | None = None) -> list[str]:
    """Shell commands that list the calls of the places on the day, dearest first; for one place also its sessions."""
    where = f" --store {shlex.quote(store)}" if store else ""
    where += f" --tz {time_zone.label()}" if time_zone.zone() else ""
    span = f" --since {day} --until {day}"
    if cause == "duplicate_calls":
        return [f"hindcast duplicates{span}{where}"]
    listed = [f"hindcast calls{_filters(place)} --day {day}{where}" for place in segments[:MOST_PLACES] or [{}]]
    if len(segments) <= 1 and all(value is not None for place in segments for value in place.values()):
        terms = [
            f" --where {shlex.quote(f'{name}={pattern(value)}')}" for place in segments for name, value in place.items()
        ]
        listed.append(f"hindcast cost --by session{''.join(terms)}{span}{where}")
    return listed


def _filters(place: Place) -> str:
    text = ""
    for name, value in place.items():
        told = pattern(value)
        if name in _OPTIONS:
            text += f" {_OPTIONS[name]}{'=' if told.startswith('-') else ' '}{shlex.quote(told)}"
        else:
            text += f" --where {shlex.quote(f'{name}={told}')}"
    return text


def sql(segments: Sequence[Place], day: date, *, cause: str | None = None) -> dict[str, str]:
    """Queries over the store's view `costs`: `sessions` and `calls` of the places on the day, LISTED of each. Complete
    statements without parameters; values stand in them as SQL strings. None for places by a dimension that the view
    does not hold, such as `template`."""
    if any(dimension(name, "segment").label for place in segments for name in place):
        return {}
    places = [" AND ".join(_term(name, value) for name, value in place.items()) or "true" for place in segments]
    where = f"start_time >= {_instant(day)} AND start_time < {_instant(day + timedelta(days=1))}"
    where += f" AND ({' OR '.join(f'({place})' for place in places) or 'true'})"
    if cause in _OWN:
        where += f" AND {_OWN[cause]}"
    rows = f"costs WHERE {where}"
    if cause == "duplicate_calls":
        rows = (
            f"(SELECT * FROM costs WHERE {where} AND key_canonical IS NOT NULL AND {FIRST} "
            "QUALIFY row_number() OVER (PARTITION BY agent, task, key_canonical ORDER BY start_time, call_no) > 1)"
        )
    order = "calls DESC" if cause == "loop" else "usd DESC NULLS LAST"
    return {
        "sessions": "SELECT conversation_id AS session, count(*) AS calls, sum(cost_usd) AS usd, "
        f"min(start_time) AS first, max(start_time) AS last FROM {rows} "
        f"GROUP BY conversation_id ORDER BY {order}, session NULLS LAST LIMIT {LISTED}",
        "calls": "SELECT call_no, start_time, agent, task, model, conversation_id AS session, input_tokens, "
        f"output_tokens, cost_usd FROM {rows} ORDER BY cost_usd DESC NULLS LAST, call_no LIMIT {LISTED}",
    }


def _instant(day: date) -> str:
    """SQL of the begin of a day; in UTC as short as a person would write it."""
    begin = time_zone.day_start(day)
    return f"DATE '{day}'" if begin == datetime.combine(day, time.min) else f"TIMESTAMP '{begin}'"


def _term(name: str, value: str | None) -> str:
    if value is None:
        return f"{segment_sql(name)} IS NULL"
    quoted = value.replace("'", "''")
    return f"{segment_sql(name)} = '{quoted}'"
