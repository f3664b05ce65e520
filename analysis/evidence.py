"""What the calls of some segments look like on the day and on its baseline days: the facts that tell causes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis import present
from analysis.leaves import DIMENSIONS, SCALE, window

SAMPLE_ROWS: Final = 300_000  # beyond this many calls, whole sessions are sampled by hash
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
        return self.figures[name][0] or 0.0

    def after(self, name: str) -> float:
        return self.figures[name][1] or 0.0

    def known(self, name: str) -> bool:
        return self.figures[name][1] is not None

    def added(self, name: str) -> float:
        """The increase of a count per day as a share of the increase of calls."""
        more = self.calls[1] - self.calls[0]
        return (self.after(name) - self.before(name)) / more if more > 0 else 0.0


Scope = Sequence[Mapping[str, str | None]]
AMOUNT: Final = {
    "cost": "coalesce(cost_usd, 0)",
    "calls": "weight",
    "tokens": "(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) * weight",
}
FIRST: Final = "coalesce(attempt, 1) = 1 AND retry_of IS NULL"  # no retry


def scope_condition(scope: Scope) -> tuple[str, dict[str, Any]]:
    """A condition that holds for the calls of any of the segments. Values are parameters, names are allow-listed."""
    parts, values = [], {}
    for i, segment in enumerate(scope):
        terms = []
        for j, (name, value) in enumerate(segment.items()):
            terms.append(f"{DIMENSIONS[name]} IS NOT DISTINCT FROM $s{i}_{j}")
            values[f"s{i}_{j}"] = value
        parts.append("(" + " AND ".join(terms or ["true"]) + ")")
    return "(" + " OR ".join(parts or ["true"]) + ")", values


class Witness:
    """Asks the store about segments on one day and its baseline days."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        day: date,
        weights: Mapping[date, float],
        relation: str = "costs",
        metric: str = "cost",
    ) -> None:
        """`weights` are the baseline's days; `unit` turns a dollar, a call or a token into the drivers' integers."""
        self.con, self.day, self.relation, self.metric = con, day, relation, metric
        self.weights = {d: weights[d] for d in sorted(weights) if d != day}
        self.days = list(self.weights)
        self.unit = float(SCALE[metric])

    def base(self, scope: Scope) -> tuple[str, dict[str, Any]]:
        where, values = window([self.day, *self.days])
        condition, more = scope_condition(scope)
        return _BASE.format(where=where, scope=condition, relation=self.relation), {**values, **more, "day": self.day}

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self.con.execute(sql, dict(values)).fetchall()

    def amount_words(self, value: float) -> str:
        return present.money(Decimal(repr(value))) if self.metric == "cost" else f"{value:,.0f} {self.metric}"

    def calls(self) -> int:
        """How many rows the day and its baseline have."""
        where, values = window([self.day, *self.days])
        return int(self.ask(f"SELECT count(*) FROM calls WHERE {where}", values)[0][0])

    def facts(self, scope: Scope) -> Facts:
        """Counts per day on either side."""
        base, values = self.base(scope)
        names = (
            "calls", "retries", "errors", "repeats", "cut", "users", "top_user", "sessions", "top_session",
            "max_tokens", "tools", "tool_sets", "versions", "missing", "efforts", "usd",
        )  # fmt: skip
        rows = self.ask(
            f"""WITH base AS ({base}),
                 users AS (SELECT today, user_id, sum(weight) AS n FROM base WHERE user_id IS NOT NULL GROUP BY ALL),
                 sessions AS (SELECT today, session, sum(cost_usd) AS n FROM base
                              WHERE session IS NOT NULL GROUP BY ALL),
                 keys AS (SELECT today, start_time::DATE AS day, key_canonical, count(*) - 1 AS again FROM base
                          WHERE key_canonical IS NOT NULL AND coalesce(attempt, 1) = 1 AND retry_of IS NULL
                          GROUP BY ALL HAVING count(*) > 1)
            SELECT today, sum(weight)::DOUBLE,
                   count(*) FILTER (attempt > 1 OR retry_of IS NOT NULL),
                   count(*) FILTER (status = 'error'),
                   (SELECT coalesce(sum(again), 0) FROM keys WHERE keys.today = base.today),
                   count(*) FILTER (finish_reason IN ('length', 'max_tokens')),
                   (SELECT count(*) FROM users WHERE users.today = base.today),
                   (SELECT max(n)::DOUBLE FROM users WHERE users.today = base.today),
                   (SELECT count(*) FROM sessions WHERE sessions.today = base.today),
                   (SELECT max(n)::DOUBLE FROM sessions WHERE sessions.today = base.today),
                   avg(max_tokens), avg(tool_count), count(DISTINCT tools_id), count(DISTINCT prompt_version),
                   count(*) FILTER (tokens_source = 'missing' OR cost_status = 'no_usage'),
                   count(DISTINCT reasoning_effort), sum(cost_usd)::DOUBLE
            FROM base GROUP BY today ORDER BY today""",
            values,
        )
        sides: dict[bool, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
        empty = (0.0,) * len(names)
        per_day = {"calls", "retries", "errors", "repeats", "cut", "sessions", "missing", "usd"}
        figures = {}
        for i, name in enumerate(names):
            before, after = sides.get(False, empty)[i], sides.get(True, empty)[i]
            if name in per_day and before is not None:
                before = before / max(len(self.days), 1)
            figures[name] = (before, after)
        return Facts((float(figures["calls"][0] or 0), float(figures["calls"][1] or 0)), figures)

    def sessions(self, scope: Scope) -> Facts:
        """How calls gather in sessions, and how prompts grow along one: turn-1 tokens, growth per turn."""
        base, values = self.base(scope)
        rows = self.ask(
            f"""WITH base AS ({base} AND coalesce(conversation_id, request_id) IS NOT NULL),
                 size AS (SELECT greatest(count(*) // {SAMPLE_ROWS:d}, 1) AS every FROM base),
                 turns AS (
                    SELECT today, session, input_tokens, cost_usd, row_number() OVER (
                        PARTITION BY start_time::DATE, session ORDER BY start_time, source_id, source_row) AS turn
                    FROM base, size WHERE hash(session) % every = 0),
                 long AS (SELECT today, session, count(*) AS n, sum(cost_usd)::DOUBLE AS usd FROM turns GROUP BY ALL),
                 edge AS (SELECT quantile_cont(n, 0.99) AS p99 FROM long WHERE NOT today)
            SELECT today, avg(n), max(n), sum(greatest(n - p99, 0)) / sum(n), count(*),
                   count(*) FILTER (n > p99), max(usd) / sum(usd),
                   (SELECT avg(input_tokens) FROM turns WHERE turn = 1 AND turns.today = long.today),
                   (SELECT regr_slope(input_tokens, turn) FROM turns WHERE turns.today = long.today)
            FROM long, edge GROUP BY today ORDER BY today""",
            values,
        )
        names = ("turns", "longest", "beyond", "sessions", "long_sessions", "top_session", "first_tokens", "growth")
        sides = {row[0]: row[1:] for row in rows}
        none = (None,) * len(names)
        figures = {name: (sides.get(False, none)[i], sides.get(True, none)[i]) for i, name in enumerate(names)}
        return Facts((0.0, 0.0), figures)

    def turns(self, scope: Scope) -> list[tuple[int, float, float, float]]:
        """(turn of a session, calls on the day, input tokens of such a call on the baseline days, on the day)."""
        base, values = self.base(scope)
        return self.ask(
            f"""WITH base AS ({base} AND conversation_id IS NOT NULL AND input_tokens IS NOT NULL AND {FIRST}),
                 size AS (SELECT greatest(count(*) // {SAMPLE_ROWS:d}, 1) AS every FROM base),
                 turns AS (
                    SELECT today, input_tokens, row_number() OVER (
                        PARTITION BY start_time::DATE, session ORDER BY start_time, source_id, source_row) AS turn
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
            f"""WITH base AS ({base} AND coalesce(conversation_id, request_id) IS NOT NULL AND agent IS NOT NULL),
                 size AS (SELECT greatest(count(*) // {SAMPLE_ROWS:d}, 1) AS every FROM base),
                 steps AS (
                    SELECT today, session, agent, lag(agent) OVER (
                        PARTITION BY today, session ORDER BY start_time, source_id, source_row) AS prior
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

    def movers(self, scope: Scope, dimension: str) -> list[tuple[str | None, float, float, float]]:
        """Values of a dimension with dollars per baseline day, on the dearest baseline day, and on the day; largest
        change first."""
        base, values = self.base(scope)
        rows = self.ask(
            f"""WITH base AS ({base}),
                 days AS (SELECT {DIMENSIONS[dimension]} AS value, today, start_time::DATE AS day,
                                 coalesce(sum(cost_usd), 0)::DOUBLE AS usd FROM base GROUP BY ALL)
            SELECT value, coalesce(sum(usd) FILTER (NOT today), 0) / {max(len(self.days), 1):d},
                   coalesce(max(usd) FILTER (NOT today), 0), coalesce(sum(usd) FILTER (today), 0)
            FROM days GROUP BY value""",
            values,
        )
        return sorted(rows, key=lambda r: (-abs(r[3] - r[1]), str(r[0])))

    def without_usage(self, by: Sequence[str]) -> list[tuple[dict[str, str | None], float, float, float, float]]:
        """Segments with calls that have no usage on the day: (segment, such calls per baseline day, on the day, calls
        on the day, the amount of one of its other calls)."""
        base, values = self.base([{}])
        dims = "".join(f"{DIMENSIONS[name]}, " for name in by)
        missing = "coalesce(tokens_source = 'missing' OR cost_status = 'no_usage', false)"
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
        sql = f"SELECT min(start_time)::DATE FROM calls WHERE {DIMENSIONS[dimension]} IS NOT DISTINCT FROM $value"
        return self.ask(sql, {"value": value})[0][0]
