"""What can be counted in the calls of a day and its baseline, by segment: retries, loops, repeats, sessions, users.

Amounts are in the metric's unit (dollars, calls or tokens); a baseline day is the weighted sum of its days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from analysis.attribution.segment_sums import segment_hash, segment_sql, window
from analysis.causes.call_evidence import AMOUNT, FIRST, CallQueries
from analysis.causes.segment_localization import Segment

FEW: Final = 3  # groups (or a fifth of them) make a runaway; more are a change of habit
CANDIDATES: Final = 4  # sessions or users looked at, those that rose most first
# requests that were made more than once on the day
_REPEATED: Final = """
    SELECT key_canonical FROM tallied WHERE today AND key_canonical IS NOT NULL AND fresh
    GROUP BY key_canonical HAVING count(*) > 1"""
Names = tuple[str | None, ...]


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
        """The amount above the baseline's."""
        return self.amount_after - self.amount_before


@dataclass(frozen=True)
class Loops:
    """Calls beyond what an earlier request (or session) of the segment made at most, one in a hundred apart."""

    tallies: list[Tally]
    kind: str  # requests, sessions
    ids: list[int]  # as the counter numbers them
    longest: int
    ordinary: float


@dataclass(frozen=True)
class SessionOrUser:
    """One session or user of the day; `id` is the counter's number of it."""

    id: int
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
        """Add the figures of some calls of one model; the first figure is their number."""
        self.figures = [a + float(b) for a, b in zip(self.figures, figures, strict=True)]
        self.models[model] = self.models.get(model, 0.0) + float(figures[0])


class Counter:
    """Counts calls by segment, within the calls of some segments of the day and its baseline.

    The calls are read once, into a temporary table with whole numbers in place of names and ids: every question then
    groups a few narrow columns. The numbers are DuckDB's 64-bit hashes, valid in one process.
    """

    def __init__(self, queries: CallQueries, by: Sequence[str], segments: Sequence[Segment] | None = None) -> None:
        """`segments` name a value of every dimension of `by`; None is all calls."""
        self.queries, self.by = queries, tuple(by)
        self.amount = AMOUNT[queries.metric]
        where, self.values = window([queries.day, *queries.days])
        number = segment_hash(self.by)
        dims = "".join(f", {segment_sql(name)}" for name in self.by)
        rows = queries.ask(f"SELECT DISTINCT {number}{dims} FROM {queries.relation} WHERE {where}", self.values)
        self.names: dict[int, Names] = {row[0]: row[1:] for row in rows}
        if segments is not None:
            wanted = {tuple(segment[name] for name in self.by) for segment in segments}
            self.names = {number: names for number, names in self.names.items() if names in wanted}
            where += f" AND {number} IN ({', '.join(f'{one:d}' for one in sorted(self.names)) or 'NULL'})"
        self.base = f"SELECT *, {number} AS place, start_time::DATE AS day FROM {queries.relation} WHERE {where}"
        queries.con.execute(
            f"""CREATE OR REPLACE TEMP TABLE tallied AS
            SELECT place, day, day = $day AS today, {_number("request_id")} AS request,
                   {_number("conversation_id")} AS session, {_number("user_id")} AS person, key_canonical,
                   {FIRST} AS fresh, coalesce(status = 'error', false) AS failed, {self.amount} AS amount
            FROM ({self.base})""",
            {**self.values, "day": queries.day},
        )

    def _ask(self, sql: str, **more: Any) -> list[tuple[Any, ...]]:
        return self.queries.ask(sql, more)

    def _segment(self, place: int) -> dict[str, str | None]:
        return dict(zip(self.by, self.names[place], strict=True))

    def _ids(self, column: str, numbers: Iterable[int]) -> dict[int, str]:
        """number -> id, of ids that have calls on the day."""
        wanted = ", ".join(f"{number:d}" for number in sorted(set(numbers)))
        if not wanted:
            return {}
        where, values = window([self.queries.day])
        rows = self.queries.ask(
            f"""SELECT DISTINCT hash({column}), {column} FROM {self.queries.relation}
            WHERE {where} AND {column} IS NOT NULL AND hash({column}) IN ({wanted})""",
            values,
        )
        return dict(rows)

    def _tallies(self, rows: Sequence[tuple[Any, ...]], calls: int, amount: int) -> list[Tally]:
        """Rows of (place, day, figures): figures `calls` and `amount` summed on either side."""
        found: dict[int, Tally] = {}
        for row in rows:
            if (one := found.get(row[0])) is None:
                one = found[row[0]] = Tally(self._segment(row[0]))
            count, worth = float(row[1 + calls] or 0), float(row[1 + amount] or 0)
            if row[1] == self.queries.day:
                one.after += count
                one.amount_after += worth
            else:
                share = self.queries.weights.get(row[1], 0.0)
                one.before += share * count
                one.amount_before += share * worth
        return [found[key] for key in sorted(found, key=lambda place: str(self.names[place]))]

    def retries(self) -> tuple[list[Tally], list[Tally], list[Tally]]:
        """Retries, failed calls, and all calls."""
        rows = self._ask(
            """SELECT place, day, count(*) FILTER (NOT fresh), coalesce(sum(amount) FILTER (NOT fresh), 0)::DOUBLE,
                      count(*) FILTER (failed), count(*) FILTER (fresh), count(*), coalesce(sum(amount), 0)::DOUBLE
            FROM tallied GROUP BY place, day ORDER BY place, day"""
        )
        retries = self._tallies(rows, 1, 2)
        for one, asked in zip(retries, self._tallies(rows, 4, 2), strict=True):
            one.rate = asked.after / asked.before if asked.before else 1.0
        return retries, self._tallies(rows, 3, 2), self._tallies(rows, 5, 6)

    def _tells_apart(self, column: str) -> bool:
        """Whether some calls share the id; an id per call tells nothing."""
        calls, ids = self._ask(
            f"SELECT coalesce(sum(n), 0), count(*) FROM (SELECT count(*) AS n FROM tallied "
            f"WHERE {column} IS NOT NULL GROUP BY {column})"
        )[0]
        return bool(calls and ids < 0.999 * float(calls))

    def loops(self) -> Loops | None:
        """Requests that call far more often than earlier ones; sessions, where no request is told apart."""
        kinds = (("requests", "request"), ("sessions", "session"))
        usable = next(((kind, column) for kind, column in kinds if self._tells_apart(column)), None)
        if usable is None:
            return None
        kind, column = usable
        rows = self._ask(
            f"""WITH groups AS (SELECT place, day, today, {column} AS id, count(*) AS n, sum(amount)::DOUBLE AS amount
                                FROM tallied WHERE {column} IS NOT NULL AND fresh GROUP BY ALL),
                 edges AS (SELECT place, quantile_cont(n, 0.99) AS p99 FROM groups WHERE NOT today GROUP BY place),
                 beyond AS (SELECT groups.*, coalesce(p99, 1) AS p99 FROM groups LEFT JOIN edges USING (place))
            SELECT place, day, sum(greatest(n - p99, 0)),
                   sum((amount * greatest(n - p99, 0) / n)::DECIMAL(38, 12)), max(n),
                   count(*), count(*) FILTER (n > p99), any_value(p99),
                   list(id ORDER BY n DESC, id) FILTER (today AND n >= 2 * p99 + 3)[:20]
            FROM beyond GROUP BY place, day ORDER BY place, day"""
        )
        now = [row for row in rows if row[1] == self.queries.day and row[8]]
        few = [row for row in now if row[6] <= max(FEW, 0.2 * row[5])]
        if not few:
            return None
        places = {row[0] for row in few}
        worst = max(few, key=lambda row: (row[4], str(self.names[row[0]])))
        tallies = self._tallies([row for row in rows if row[0] in places], 1, 2)
        ids = [number for row in few for number in row[8]]
        return Loops(tallies, kind, ids, int(worst[4]), float(worst[7]))

    def repeats(self, without: Sequence[int]) -> list[Tally]:
        """Calls that repeat an earlier request of their day word for word, outside the requests `without`."""
        rows = self._ask(
            """WITH keys AS (SELECT place, day, count(*) AS n, sum(amount)::DOUBLE AS amount
                          FROM tallied WHERE key_canonical IS NOT NULL AND fresh
                              AND NOT coalesce(request IN (SELECT unnest($without::UBIGINT[])), false)
                          GROUP BY place, day, key_canonical HAVING count(*) > 1)
            SELECT place, day, sum(n - 1), sum((amount * (n - 1) / n)::DECIMAL(38, 12))
            FROM keys GROUP BY place, day ORDER BY place, day""",
            without=list(without),
        )
        return self._tallies(rows, 1, 2)

    def _others(self, repeats: bool) -> str:
        """A condition on calls that no loop and, if those are counted already, no repeat has claimed."""
        told = "fresh AND NOT coalesce(request IN (SELECT unnest($requests::UBIGINT[])), false)"
        if repeats:
            told += f" AND NOT (today AND coalesce(key_canonical IN ({_REPEATED}), false))"
        return told

    def sessions(self, requests: Sequence[int], beyond: float, repeats: bool) -> list[SessionOrUser]:
        """The sessions that cost and call `beyond` times as much as any earlier one of their segment, calls of the
        `requests` (and repeats) apart. Set against an ordinary session of the segment."""
        rows = self._ask(
            f"""WITH sums AS (SELECT place, today, session AS id, count(*) AS n, sum(amount)::DOUBLE AS amount
                          FROM tallied WHERE session IS NOT NULL AND {self._others(repeats)}
                          GROUP BY place, day, today, session),
                 usual AS (SELECT place, max(amount) AS most, max(n) AS calls, avg(amount) AS amount, avg(n) AS n
                           FROM sums WHERE NOT today GROUP BY place)
            SELECT place, sums.n, sums.amount, usual.n, usual.amount, most, id
            FROM sums JOIN usual USING (place)
            WHERE today AND sums.amount > {beyond:f} * most AND sums.n > {beyond:f} * calls
            ORDER BY sums.amount - most DESC, id LIMIT {CANDIDATES:d}""",
            requests=list(requests),
        )
        ids = self._ids("conversation_id", (row[6] for row in rows))
        found = []
        for place, calls, amount, usual_calls, usual, most, number in rows:
            one = Tally(self._segment(place), usual_calls, calls, usual, amount)
            found.append(SessionOrUser(number, ids[number], amount, usual, most, int(calls), [one]))
        return sorted(found, key=lambda one: (one.most - one.after, one.name))

    def sizes(
        self, requests: Sequence[int], sessions: Sequence[int], *, repeats: bool, retries: bool
    ) -> list[tuple[dict[str, str | None], Sizes, Sizes, Mapping[str | None, float]]]:
        """Segments that hold counted calls on the day, those of the requests and sessions, and repeats or retries where
        they count: (segment, sizes of all its calls, of the counted ones, the models' calls in the baseline)."""
        theirs = """(coalesce(hash(request_id) IN (SELECT unnest($requests::UBIGINT[])), false)
                     OR coalesce(hash(conversation_id) IN (SELECT unnest($sessions::UBIGINT[])), false)"""
        if repeats:
            theirs += f" OR coalesce(key_canonical IN ({_REPEATED}), false)"
        theirs += f" OR NOT ({FIRST}))" if retries else ")"
        rows = self.queries.ask(
            f"""SELECT place, day = $day AS today, day = $day AND {theirs} AS theirs, model, count(*),
                   coalesce(sum(input_tokens), 0), coalesce(sum(cache_read_input_tokens), 0),
                   coalesce(sum(output_tokens - coalesce(reasoning_output_tokens, 0)), 0),
                   coalesce(sum(reasoning_output_tokens), 0)
            FROM ({self.base}) GROUP BY ALL ORDER BY ALL""",
            {**self.values, "day": self.queries.day, "requests": list(requests), "sessions": list(sessions)},
        )
        own = {row[0]: Sizes() for row in rows if row[2]}
        every = {place: Sizes() for place in own}
        before: dict[int, dict[str | None, float]] = {place: {} for place in own}
        for place, today, counted, model, *figures in rows:
            if place not in own:
                continue
            if not today:
                before[place][model] = before[place].get(model, 0.0) + float(figures[0])
                continue
            every[place].add(model, figures)
            if counted:
                own[place].add(model, figures)
        order = sorted(own, key=lambda place: _last_none(self.names[place]))
        return [(self._segment(place), every[place], own[place], before[place]) for place in order]

    def users(self, requests: Sequence[int], sessions: Sequence[int], repeats: bool) -> list[SessionOrUser]:
        """The users whose amount rose most; retries, calls of these requests and sessions (and repeats) apart."""
        days = max(len(self.queries.days), 1)
        rows = self._ask(
            f"""WITH sums AS (SELECT place, day, today, person AS id, count(*) AS n, sum(amount)::DOUBLE AS amount
                          FROM tallied WHERE person IS NOT NULL AND {self._others(repeats)}
                              AND NOT coalesce(session IN (SELECT unnest($sessions::UBIGINT[])), false)
                          GROUP BY ALL),
                 days AS (SELECT id, today, day, sum(n) AS n, sum(amount) AS amount FROM sums GROUP BY ALL),
                 ids AS (SELECT id, sum(amount) FILTER (today) AS now,
                                coalesce(sum(amount) FILTER (NOT today), 0) / {days:d} AS before,
                                coalesce(max(amount) FILTER (NOT today), 0) AS most,
                                coalesce(sum(n) FILTER (today), 0) AS calls
                         FROM days GROUP BY id HAVING now > 0
                         ORDER BY now - before DESC, id LIMIT {CANDIDATES:d}),
                 records AS (SELECT place, max(n) AS record FROM sums WHERE NOT today GROUP BY place)
            SELECT place, day, sums.n, sums.amount, ids.id, ids.now, ids.before, ids.most, ids.calls,
                   coalesce(record, 0)
            FROM sums JOIN ids USING (id) LEFT JOIN records USING (place)
            ORDER BY ids.id, place, day""",
            requests=list(requests),
            sessions=list(sessions),
        )
        people: dict[int, list[tuple[Any, ...]]] = {}
        for row in rows:
            people.setdefault(row[4], []).append(row)
        ids = self._ids("user_id", people)
        found = []
        for number, own in people.items():
            now, before, most, calls = own[0][5:9]
            each: dict[Any, dict[date, tuple[float, float]]] = {}
            for row in own:
                each.setdefault(self.names[row[0]], {})[row[1]] = (float(row[2]), float(row[3]))
            records = {self.names[row[0]]: float(row[9]) for row in own}
            found.append(
                SessionOrUser(
                    number, ids[number], now, before, most, int(calls), self._tallies(own, 1, 2), each, records
                )
            )
        return sorted(found, key=lambda one: (one.before - one.after, one.name))


def _number(column: str) -> str:
    return f"CASE WHEN {column} IS NOT NULL THEN hash({column}) END"


def _last_none(names: Names) -> list[tuple[bool, str]]:
    return [(name is None, name or "") for name in names]
