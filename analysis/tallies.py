"""What can be counted in the calls of a day and its baseline, by segment: retries, loops, repeats, sessions, users.

Amounts are in the metric's unit (dollars, calls or tokens); a baseline day is the weighted sum of its days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from analysis.evidence import AMOUNT, FIRST, Scope, Witness
from analysis.leaves import DIMENSIONS

FEW: Final = 3  # groups (or a fifth of them) make a runaway; more are a change of habit
CANDIDATES: Final = 4  # sessions or users looked at, those that rose most first


@dataclass
class Tally:
    """Calls of one sort in one segment, and what they cost: per baseline day, and on the day."""

    segment: dict[str, str | None]
    before: float = 0.0
    after: float = 0.0
    amount_before: float = 0.0
    amount_after: float = 0.0
    rate: float = 1.0  # calls of the segment on the day over its calls of a baseline day, where more calls bring more

    @property
    def usual(self) -> float:
        """How many would be ordinary for as many calls."""
        return self.before * max(self.rate, 1.0)

    @property
    def extra(self) -> float:
        return self.amount_after - self.amount_before


@dataclass(frozen=True)
class Loops:
    """Calls beyond what an earlier request (or session) of the segment made at most, one in a hundred apart."""

    tallies: list[Tally]
    kind: str  # requests, sessions
    ids: list[str]
    longest: int
    ordinary: float


@dataclass(frozen=True)
class One:
    """One session or user of the day."""

    name: str
    after: float
    before: float  # its own per baseline day
    most: float  # the dearest earlier session of the segment; of a user, its own dearest day in all segments
    calls: int
    tallies: list[Tally]
    days: Mapping[Any, Mapping[date, tuple[float, float]]] = field(default_factory=dict)  # segment -> calls, amount
    records: Mapping[Any, float] = field(default_factory=dict)  # segment -> most calls of any user on an earlier day

    def within(self, segments: Sequence[Mapping[str, str | None]], day: date) -> tuple[float, float, float, float]:
        """In these segments alone: calls of the day, of the busiest other day, amount of the day, of the dearest other
        day."""
        sums: dict[date, list[float]] = {}
        for segment in segments:
            for when, (calls, amount) in self.days.get(tuple(segment.values()), {}).items():
                one = sums.setdefault(when, [0.0, 0.0])
                one[0] += calls
                one[1] += amount
        now = sums.pop(day, [0.0, 0.0])
        most = [max((values[i] for values in sums.values()), default=0.0) for i in (0, 1)]
        return now[0], most[0], now[1], most[1]


@dataclass
class Sizes:
    """Of some calls of a segment: calls, input, cache-read, visible output and reasoning tokens; and calls by model."""

    figures: list[float] = field(default_factory=lambda: [0.0] * 5)
    models: dict[str | None, float] = field(default_factory=dict)

    def add(self, model: str | None, figures: Sequence[Any]) -> None:
        self.figures = [a + float(b) for a, b in zip(self.figures, figures, strict=True)]
        self.models[model] = self.models.get(model, 0.0) + float(figures[0])


class Counter:
    """Asks the store for tallies by segment, within the calls of `scope`."""

    def __init__(self, witness: Witness, by: Sequence[str], scope: Scope) -> None:
        self.witness, self.by = witness, tuple(by)
        self.dims = "".join(f"{DIMENSIONS[name]} AS d{i}, " for i, name in enumerate(by))
        self.keys = "".join(f"d{i}, " for i in range(len(by)))
        base, self.values = witness.base(scope)
        self.base = f"base AS NOT MATERIALIZED (SELECT *, {self.dims}start_time::DATE AS day FROM ({base}))"
        self.amount = AMOUNT[witness.metric]

    def _ask(self, sql: str, **more: Any) -> list[tuple[Any, ...]]:
        return self.witness.ask(sql, {**self.values, **more})

    def _tallies(self, rows: Sequence[tuple[Any, ...]], calls: int, amount: int) -> list[Tally]:
        """Rows of (segment values, day, figures): figures `calls` and `amount` summed on either side."""
        n = len(self.by)
        found: dict[tuple[Any, ...], Tally] = {}
        for row in rows:
            one = found.setdefault(row[:n], Tally(dict(zip(self.by, row[:n], strict=True))))
            count, worth = float(row[n + calls] or 0), float(row[n + amount] or 0)
            if row[n] == self.witness.day:
                one.after += count
                one.amount_after += worth
            else:
                share = self.witness.weights.get(row[n], 0.0)
                one.before += share * count
                one.amount_before += share * worth
        return [found[key] for key in sorted(found, key=str)]

    def retries(self) -> tuple[list[Tally], list[Tally], list[Tally]]:
        """Retries, failed calls, and all calls."""
        rows = self._ask(
            f"""WITH {self.base}
            SELECT {self.keys}day, count(*) FILTER (NOT ({FIRST})),
                   coalesce(sum({self.amount}) FILTER (NOT ({FIRST})), 0)::DOUBLE,
                   count(*) FILTER (status = 'error'), count(*) FILTER ({FIRST}), count(*),
                   coalesce(sum({self.amount}), 0)::DOUBLE
            FROM base GROUP BY ALL ORDER BY ALL"""
        )
        retries = self._tallies(rows, 1, 2)
        for one, asked in zip(retries, self._tallies(rows, 4, 2), strict=True):
            one.rate = asked.after / asked.before if asked.before else 1.0
        return retries, self._tallies(rows, 3, 2), self._tallies(rows, 5, 6)

    def loops(self) -> Loops | None:
        """Requests that call far more often than earlier ones; sessions, where no request is told apart."""
        told = self._ask(
            f"""WITH {self.base} SELECT count(request_id), count(DISTINCT hash(request_id)),
                       count(conversation_id), count(DISTINCT hash(conversation_id)) FROM base"""
        )[0]
        # an id per call tells nothing
        kinds = (("requests", "request_id", told[0:2]), ("sessions", "conversation_id", told[2:4]))
        usable = [(kind, column) for kind, column, (calls, ids) in kinds if calls and ids < 0.999 * calls]
        for kind, column in usable[:1]:
            rows = self._ask(
                f"""WITH {self.base},
                     groups AS (SELECT {self.keys}day, today, {column} AS id, count(*) AS n,
                                       sum({self.amount})::DOUBLE AS amount
                                FROM base WHERE {column} IS NOT NULL AND {FIRST} GROUP BY ALL),
                     edges AS (SELECT {self.keys}quantile_cont(n, 0.99) AS p99 FROM groups WHERE NOT today
                               GROUP BY ALL),
                     beyond AS (SELECT groups.*, coalesce(p99, 1) AS p99 FROM groups LEFT JOIN edges
                                ON {self._same("groups", "edges")})
                SELECT {self.keys}day, sum(greatest(n - p99, 0)),
                       sum((amount * greatest(n - p99, 0) / n)::DECIMAL(38, 12)), max(n),
                       count(*), count(*) FILTER (n > p99), any_value(p99),
                       list(id ORDER BY n DESC, id) FILTER (today AND n >= 2 * p99 + 3)[:20]
                FROM beyond GROUP BY {self.keys}day ORDER BY ALL"""
            )
            n = len(self.by)
            now = [row for row in rows if row[n] == self.witness.day and row[n + 7]]
            few = [row for row in now if row[n + 5] <= max(FEW, 0.2 * row[n + 4])]
            if not few:
                return None
            places = {row[:n] for row in few}
            worst = max(few, key=lambda row: (row[n + 3], str(row[:n])))
            tallies = self._tallies([row for row in rows if row[:n] in places], 1, 2)
            ids = [name for row in few for name in row[n + 7]]
            return Loops(tallies, kind, ids, int(worst[n + 3]), float(worst[n + 6]))
        return None

    def _same(self, one: str, other: str) -> str:
        terms = [f"{one}.d{i} IS NOT DISTINCT FROM {other}.d{i}" for i in range(len(self.by))]
        return " AND ".join(terms) or "true"

    def repeats(self, without: Sequence[str]) -> list[Tally]:
        """Calls that repeat an earlier request of their day word for word, outside the requests `without`."""
        rows = self._ask(
            f"""WITH {self.base},
                 keys AS (SELECT {self.keys}day, count(*) AS n, sum({self.amount})::DOUBLE AS amount
                          FROM base WHERE key_canonical IS NOT NULL AND {FIRST}
                              AND NOT coalesce(request_id IN (SELECT unnest($without::VARCHAR[])), false)
                          GROUP BY {self.keys}day, key_canonical HAVING count(*) > 1)
            SELECT {self.keys}day, sum(n - 1), sum((amount * (n - 1) / n)::DECIMAL(38, 12))
            FROM keys GROUP BY ALL ORDER BY ALL""",
            without=list(without),
        )
        return self._tallies(rows, 1, 2)

    def _others(self, repeats: bool) -> str:
        """A condition on calls that no loop and, if those are counted already, no repeat has claimed."""
        told = f"{FIRST} AND NOT coalesce(request_id IN (SELECT unnest($requests::VARCHAR[])), false)"
        if repeats:
            told += f""" AND NOT (today AND coalesce(key_canonical IN (SELECT key_canonical FROM base
                WHERE today AND key_canonical IS NOT NULL AND {FIRST} GROUP BY key_canonical HAVING count(*) > 1),
                false))"""
        return told

    def sessions(self, requests: Sequence[str], beyond: float, repeats: bool) -> list[One]:
        """The sessions that cost and call `beyond` times as much as any earlier one of their segment, calls of the
        `requests` (and repeats) apart. Set against an ordinary session of the segment."""
        rows = self._ask(
            f"""WITH {self.base},
                 sums AS (SELECT {self.keys}day, today, conversation_id AS id, count(*) AS n,
                                 sum({self.amount})::DOUBLE AS amount
                          FROM base WHERE conversation_id IS NOT NULL AND {self._others(repeats)} GROUP BY ALL),
                 usual AS (SELECT {self.keys}max(amount) AS most, max(n) AS calls, avg(amount) AS amount, avg(n) AS n
                           FROM sums WHERE NOT today GROUP BY ALL)
            SELECT {self._named("sums")}sums.n, sums.amount, usual.n, usual.amount, most, id
            FROM sums JOIN usual ON {self._same("sums", "usual")}
            WHERE today AND sums.amount > {beyond:f} * most AND sums.n > {beyond:f} * calls
            ORDER BY sums.amount - most DESC, id LIMIT {CANDIDATES:d}""",
            requests=list(requests),
        )
        n = len(self.by)
        found = []
        for row in rows:
            calls, amount, usual_calls, usual, most, name = row[n:]
            one = Tally(dict(zip(self.by, row[:n], strict=True)), usual_calls, calls, usual, amount)
            found.append(One(name, amount, usual, most, int(calls), [one]))
        return found

    def sizes(
        self, requests: Sequence[str], sessions: Sequence[str], *, repeats: bool, retries: bool
    ) -> list[tuple[dict[str, str | None], Sizes, Sizes, Mapping[str | None, float]]]:
        """Segments that hold counted calls on the day, those of the requests and sessions, and repeats or retries where
        they count: (segment, sizes of all its calls, of the counted ones, the models' calls in the baseline)."""
        theirs = """(coalesce(request_id IN (SELECT unnest($requests::VARCHAR[])), false)
                     OR coalesce(conversation_id IN (SELECT unnest($sessions::VARCHAR[])), false)"""
        if repeats:
            theirs += f""" OR coalesce(key_canonical IN (SELECT key_canonical FROM base
                WHERE today AND key_canonical IS NOT NULL AND {FIRST} GROUP BY key_canonical HAVING count(*) > 1),
                false)"""
        theirs += f" OR NOT ({FIRST}))" if retries else ")"
        rows = self._ask(
            f"""WITH {self.base}
            SELECT {self.keys}today, today AND {theirs} AS theirs, model, count(*), coalesce(sum(input_tokens), 0),
                   coalesce(sum(cache_read_input_tokens), 0),
                   coalesce(sum(output_tokens - coalesce(reasoning_output_tokens, 0)), 0),
                   coalesce(sum(reasoning_output_tokens), 0)
            FROM base GROUP BY ALL ORDER BY ALL""",
            requests=list(requests),
            sessions=list(sessions),
        )
        n = len(self.by)
        own = {row[:n]: Sizes() for row in rows if row[n + 1]}
        every = {key: Sizes() for key in own}
        before: dict[Any, dict[str | None, float]] = {key: {} for key in own}
        for row in rows:
            key, (today, counted, model), figures = row[:n], row[n : n + 3], row[n + 3 :]
            if key not in own:
                continue
            if not today:
                before[key][model] = before[key].get(model, 0.0) + float(figures[0])
                continue
            every[key].add(model, figures)
            if counted:
                own[key].add(model, figures)
        return [(dict(zip(self.by, key, strict=True)), every[key], own[key], before[key]) for key in own]

    def _named(self, table: str) -> str:
        return "".join(f"{table}.d{i}, " for i in range(len(self.by)))

    def users(self, requests: Sequence[str], sessions: Sequence[str], repeats: bool) -> list[One]:
        """The users whose amount rose most; retries, calls of these requests and sessions (and repeats) apart."""
        days = max(len(self.witness.days), 1)
        rows = self._ask(
            f"""WITH {self.base},
                 sums AS (SELECT {self.keys}day, today, user_id AS id, count(*) AS n,
                                 sum({self.amount})::DOUBLE AS amount
                          FROM base WHERE user_id IS NOT NULL AND {self._others(repeats)}
                              AND NOT coalesce(conversation_id IN (SELECT unnest($sessions::VARCHAR[])), false)
                          GROUP BY ALL),
                 days AS (SELECT id, today, day, sum(n) AS n, sum(amount) AS amount FROM sums GROUP BY ALL),
                 ids AS (SELECT id, sum(amount) FILTER (today) AS now,
                                coalesce(sum(amount) FILTER (NOT today), 0) / {days:d} AS before,
                                coalesce(max(amount) FILTER (NOT today), 0) AS most,
                                coalesce(sum(n) FILTER (today), 0) AS calls
                         FROM days GROUP BY id HAVING now > 0
                         ORDER BY now - before DESC, id LIMIT {CANDIDATES:d}),
                 records AS (SELECT {self.keys}max(n) AS record FROM sums WHERE NOT today GROUP BY ALL)
            SELECT {self._named("sums")}day, sums.n, sums.amount, ids.id, ids.now, ids.before, ids.most, ids.calls,
                   coalesce(record, 0)
            FROM sums JOIN ids USING (id) LEFT JOIN records ON {self._same("sums", "records")}
            ORDER BY ids.now - ids.before DESC, ids.id, day, {self._named("sums")}sums.n""",
            requests=list(requests),
            sessions=list(sessions),
        )
        n = len(self.by)
        found = []
        for name in dict.fromkeys(row[n + 3] for row in rows):
            own = [row for row in rows if row[n + 3] == name]
            now, before, most, calls = own[0][n + 4 : n + 8]
            each: dict[Any, dict[date, tuple[float, float]]] = {}
            for row in own:
                each.setdefault(row[:n], {})[row[n]] = (float(row[n + 1]), float(row[n + 2]))
            records = {row[:n]: float(row[n + 8]) for row in own}
            found.append(One(name, now, before, most, int(calls), self._tallies(own, 1, 2), each, records))
        return found
