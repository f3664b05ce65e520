"""What the calls of some segments look like on the day and on its baseline days: the facts that tell causes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis import formatting
from analysis.attribution.segment_sums import SCALE, segment_sql, window
from analysis.ledger.costs_view import FAILED

SAMPLE_ROWS: Final = 25_000  # beyond this many calls, whole sessions are sampled by hash
# A question that reads its calls twice says NOT MATERIALIZED: it then reads only the columns of each use, on all
# threads, where a copy of all columns would be made on one.
_BASE: Final = """
    SELECT *, start_time::DATE = $day AS today, coalesce(conversation_id, request_id) AS session
    FROM {relation} WHERE {where} AND {scope}
"""


@dataclass(frozen=True)
class Facts:
    """Per side (baseline per day, then the day): plain figures; None where the log cannot tell."""

    calls: tuple[float, float]
    figures: Mapping[str, tuple[float | None, float | None]]

    def before(self, name: str) -> float:
        """The figure per baseline day; 0 where it is not known."""
        return self.figures[name][0] or 0.0

    def after(self, name: str) -> float:
        """The figure of the day; 0 where it is not known."""
        return self.figures[name][1] or 0.0

    def known(self, name: str) -> bool:
        """Whether the log tells the figure of the day."""
        return self.figures[name][1] is not None


Scope = Sequence[Mapping[str, str | None]]
AMOUNT: Final = {
    "cost": "coalesce(cost_usd, 0)",
    "calls": "weight",
    "tokens": "(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) * weight",
}
FIRST: Final = "coalesce(attempt, 1) = 1 AND retry_of IS NULL"  # no retry
MISSING_USAGE: Final = f"""
    (coalesce(tokens_source IN ('missing', 'ambiguous', 'partial') OR cost_status = 'no_usage', false)
     AND NOT coalesce({FAILED}, false))
"""
_ASKED: Final = f"key_canonical IS NOT NULL AND {FIRST}"
_FIGURES: Final = {
    "repeats": f"""count(*) FILTER ({_ASKED})
                   - count(DISTINCT hash(start_time::DATE, key_canonical)) FILTER ({_ASKED})""",
    "cut": "count(*) FILTER (finish_reason IN ('length', 'max_tokens'))",
    "sessions": "count(DISTINCT hash(session)) FILTER (session IS NOT NULL)",
    "tools": "avg(tool_count)",
    "versions": "count(DISTINCT prompt_version)",
}
_PER_DAY: Final = ("calls", "repeats", "cut", "sessions")


def scope_condition(scope: Scope, prefix: str = "s") -> tuple[str, dict[str, Any]]:
    """A condition that holds for the calls of any of the segments. Values are parameters, whose names start with the
    prefix; names of dimensions are allow-listed."""
    alike: dict[tuple[str, ...], list[Mapping[str, str | None]]] = {}
    for segment in scope:
        alike.setdefault(tuple(segment), []).append(segment)
    parts: list[str] = []
    values: dict[str, Any] = {}
    for i, (names, segments) in enumerate(alike.items()):
        if not names:
            return "true", {}
        # one join with a list for each set of dimensions: a day may hold a million names
        sides = [(segment_sql(name), f"{prefix}{i}_{j}") for j, name in enumerate(names)]
        asked = ", ".join(f"{sql} IS NULL, coalesce({sql}, '')" for sql, _ in sides)
        listed = ", ".join(f"unnest(${key}n::BOOLEAN[]), unnest(${key}::VARCHAR[])" for _, key in sides)
        parts.append(f"({asked}) IN (SELECT {listed})")
        for name, (_, key) in zip(names, sides, strict=True):
            values[key] = [segment[name] or "" for segment in segments]
            values[f"{key}n"] = [segment[name] is None for segment in segments]
    return "(" + " OR ".join(parts or ["true"]) + ")", values


class CallQueries:
    """Queries the calls of segments on one day and its baseline days."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        day: date,
        weights: Mapping[date, float],
        relation: str = "costs",
        metric: str = "cost",
        history: str = "calls",
    ) -> None:
        """`weights` are the baseline's days; `unit` turns a dollar, a call or a token into the drivers' integers;
        `history` is all calls with the labels of the dimensions."""
        self.con, self.day, self.relation, self.metric, self.history = con, day, relation, metric, history
        self.weights = {d: weights[d] for d in sorted(weights) if d != day}
        self.days = list(self.weights)
        self.unit = float(SCALE[metric])

    def base(self, scope: Scope) -> tuple[str, dict[str, Any]]:
        """SQL of the calls of the day and its baseline in `scope`, and its named parameters."""
        where, values = window([self.day, *self.days])
        condition, more = scope_condition(scope)
        return _BASE.format(where=where, scope=condition, relation=self.relation), {**values, **more, "day": self.day}

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a query with named parameters."""
        return self.con.execute(sql, dict(values)).fetchall()

    def amount_words(self, value: float) -> str:
        """An amount as it is shown: dollars, calls or tokens."""
        return formatting.money(Decimal(repr(value))) if self.metric == "cost" else f"{value:,.0f} {self.metric}"

    def calls(self) -> int:
        """How many rows the day and its baseline have."""
        where, values = window([self.day, *self.days])
        return int(self.ask(f"SELECT count(*) FROM calls WHERE {where}", values)[0][0])

    def facts(self, scope: Scope, *names: str) -> Facts:
        """`calls` and the figures of `names` on either side; counts are per day."""
        base, values = self.base(scope)
        columns = "".join(f", {_FIGURES[name]}" for name in names)
        rows = self.ask(
            f"SELECT today, sum(weight)::DOUBLE{columns} FROM ({base}) GROUP BY today ORDER BY today", values
        )
        sides: dict[bool, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
        figures = {}
        for i, name in enumerate(("calls", *names)):
            before, after = (sides[side][i] if side in sides else 0.0 for side in (False, True))
            if name in _PER_DAY and before is not None:
                before = before / max(len(self.days), 1)
            figures[name] = (before, after)
        return Facts((float(figures["calls"][0] or 0), float(figures["calls"][1] or 0)), figures)

    def turns(self, scope: Scope) -> list[tuple[int, float, float, float]]:
        """(turn of a session, calls on the day, input tokens of such a call on the baseline days, on the day)."""
        base, values = self.base(scope)
        return self.ask(
            f"""WITH base AS NOT MATERIALIZED (
                    {base} AND conversation_id IS NOT NULL AND input_tokens IS NOT NULL AND {FIRST}),
                 size AS (SELECT greatest(count(*) // {SAMPLE_ROWS:d}, 1) AS every FROM base),
                 turns AS (
                    SELECT today, input_tokens, row_number() OVER (
                        PARTITION BY start_time::DATE, hash(session) ORDER BY start_time, source_id, source_row) AS turn
                    FROM base, size WHERE hash(session) % every = 0)
            SELECT turn, count(*) FILTER (today)::DOUBLE AS n, avg(input_tokens) FILTER (NOT today),
                   avg(input_tokens) FILTER (today)
            FROM turns GROUP BY turn HAVING n > 0 AND count(*) FILTER (NOT today) > 0 ORDER BY turn LIMIT 40""",
            values,
        )

    def ping_pong(self, agents: Sequence[str | None]) -> list[tuple[str, str, float, float, int, int]]:
        """Pairs of agents that answer each other within sessions: (agent, other, rounds per session before, after,
        sessions, calls of the pair on the day), most calls first. The same agent twice is one that repeats itself."""
        base, values = self.base([{"agent": agent} for agent in agents])
        rows = self.ask(
            f"""WITH base AS NOT MATERIALIZED (
                    {base} AND coalesce(conversation_id, request_id) IS NOT NULL AND agent IS NOT NULL),
                 size AS (SELECT greatest(count(*) // {SAMPLE_ROWS:d}, 1) AS every FROM base),
                 steps AS (
                    SELECT today, session, agent, lag(agent) OVER (
                        PARTITION BY today, hash(session) ORDER BY start_time, source_id, source_row) AS prior
                    FROM base, size WHERE hash(session) % every = 0),
                 pairs AS (
                    SELECT today, session, least(agent, prior) AS a, greatest(agent, prior) AS b,
                           count(*) AS steps FROM steps WHERE prior IS NOT NULL AND agent <> prior GROUP BY ALL)
            SELECT a, b, coalesce(avg(steps) FILTER (NOT today), 0) / 2, coalesce(avg(steps) FILTER (today), 0) / 2,
                   count(*) FILTER (today), coalesce(sum(steps) FILTER (today), 0)
            FROM pairs GROUP BY a, b HAVING count(*) FILTER (today) > 0 ORDER BY 6 DESC, a, b LIMIT 5""",
            values,
        )
        return [(a, b, float(x), float(y), n, int(steps)) for a, b, x, y, n, steps in rows]

    def without_usage(self, by: Sequence[str]) -> list[tuple[dict[str, str | None], float, float, float, float]]:
        """Segments with calls that have no usage on the day: (segment, such calls per baseline day, on the day, calls
        on the day, the amount of one of its other calls)."""
        base, values = self.base([{}])
        dims = "".join(f"{segment_sql(name)}, " for name in by)
        missing = MISSING_USAGE
        # most logs have none, and then the day alone needs a look
        if not self.ask(f"SELECT 1 FROM ({base}) WHERE today AND {missing} LIMIT 1", values):
            return []
        rows = self.ask(
            f"""WITH base AS ({base})
            SELECT {dims}count(*) FILTER ({missing} AND NOT today), count(*) FILTER ({missing} AND today) AS after,
                   count(*) FILTER (today), coalesce(avg({AMOUNT[self.metric]}) FILTER (NOT {missing}), 0)::DOUBLE
            FROM base GROUP BY ALL HAVING after > 0 ORDER BY ALL""",
            values,
        )
        n, days = len(by), max(len(self.days), 1)
        return [(dict(zip(by, row[:n], strict=True)), row[n] / days, *row[n + 1 :]) for row in rows]

    def first_seen(self, dimension: str, value: str | None) -> date | None:
        """The day of the first call with this value."""
        same = f"{segment_sql(dimension)} IS NOT DISTINCT FROM $value"
        return self.ask(f"SELECT min(start_time)::DATE FROM {self.history} WHERE {same}", {"value": value})[0][0]
