"""What the pages and the report show, made from the documents that the commands print with --json.

No figure is computed here that a command computes: amounts are read from the documents, and only summed or arranged.
Nothing in this module knows about Streamlit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from analysis import dimensions, log_days
from analysis.anomalies.annotations import Annotation, read_annotations
from analysis.diagnosis import narrative
from analysis.diagnosis.result import DriverLine
from analysis.dimensions import Where
from analysis.forecast.month_outlook import Outlook
from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from analysis.formatting import money, share
from analysis.ledger.costs_view import costs_relation
from analysis.money import dollars as from_pico
from analysis.reports.call_labels import labelled
from analysis.reports.cost_cells import COUNTED, ROWS, CostCells, dearest
from dashboard.render.daily_charts import Step
from dashboard.render.palette import HUES, OTHER, UNNAMED, legend_order
from ingest.store.database import Store

if TYPE_CHECKING:  # the engine takes a second to import, which a page without a replay need not wait for
    from replay.engine.run import StrategyResult

Document = Mapping[str, Any]
MAX_STACKS = 8
MOST_BARS = 150
DRIVERS_SHOWN = 8
STALE = 3  # days
LEVEL_NEWS = 60  # days for which a new level is told as a change, and a few odd days as news
RUN_NEWS = 30


@dataclass(frozen=True)
class Coverage:
    """What the store holds, and what no total can include. Times are UTC."""

    calls: int
    first: datetime | None
    last: datetime | None
    unpriced: int
    estimated: int
    fallback: int
    untimed: int
    quarantined: int
    annotations: tuple[Annotation, ...] = ()
    log: log_days.LogDays = field(default_factory=log_days.LogDays)

    @property
    def days(self) -> list[date]:
        """Every day from the first call's to the last one's; empty where no call has a time."""
        return self.log.covered

    @property
    def whole_days(self) -> list[date]:
        """The days that the log covers whole, with calls or without."""
        return self.log.whole

    @property
    def mean_days(self) -> list[date]:
        """The days that every mean a day is of: the whole ones; where there is none, those with calls."""
        return self.log.whole or self.log.active

    def mean_of(self, days: Sequence[date]) -> str:
        """What a mean over some of `mean_days` is of, in words."""
        if not self.log.whole:
            return log_days.mean_of(len(days), 0, "day with calls")
        return log_days.mean_of(len(days), self.log.idle(days))

    def named(self, day: date) -> str:
        """A day as a heading names it: with its year where the log goes on into another one."""
        late = bool(self.days) and self.days[-1].year != day.year
        return f"{day_text(day)} {day.year}" if late else day_text(day)

    def remarks(self) -> list[str]:
        """One sentence per kind of call that a total misses or guesses; empty if there is none."""
        kinds = (
            (self.unpriced, "No price, in no total"),
            (self.estimated, "Token counts estimated"),
            (self.fallback, "Priced by a fallback rule"),
            (self.untimed, "No time, on no day"),
        )
        said = [f"{text}: {count:,} of {counted(self.calls, 'call')}." for count, text in kinds if count]
        if self.quarantined:
            said.append(f"In quarantine, not readable: {counted(self.quarantined, 'line')}.")
        return said


@dataclass(frozen=True)
class Trajectory:
    """Daily cost by the names of one dimension, in legend order; every day from the first to the last is there."""

    days: list[date]
    stacks: dict[str, list[Decimal]]
    weekly: bool = False  # each bar is a week from Monday on

    @property
    def totals(self) -> list[Decimal]:
        """Dollars of all names, by day."""
        return [sum((amounts[i] for amounts in self.stacks.values()), Decimal(0)) for i in range(len(self.days))]


def coverage(store: Store, cells: CostCells | None = None, where: Where = None) -> Coverage:
    """Count what the store holds; with cells that answer `where`, the calls of those that meet it."""
    with store.read() as con:
        quarantined = con.execute("SELECT count(*) FROM quarantine").fetchall()[0][0]
        noted = tuple(read_annotations(con))
        counted, first, last = cells.counts(where) if cells else _counts(con, store)
    days = cells.log if cells else log_days.of(store)
    return Coverage(
        counted["rows"], first, last, counted["rows"] - counted["priced_rows"], counted["guessed_rows"],
        counted["fallback_rows"], counted["untimed_rows"], quarantined, noted, days,
    )  # fmt: skip


def _counts(con: duckdb.DuckDBPyConnection, store: Store) -> tuple[dict[str, int], datetime | None, datetime | None]:
    """As `CostCells.counts`, of a store's calls."""
    # each table by itself: a call without a ledger row has no price either
    calls, first, last, guessed, untimed = con.execute(
        f"""SELECT count(*), min(start_time), max(start_time), {ROWS["guessed_rows"]}, {ROWS["untimed_rows"]}
            FROM calls"""
    ).fetchall()[0]
    chosen = " WHERE call_no IN (SELECT call_no FROM calls)" if store.restriction else ""
    priced, fallback = con.execute(
        f"SELECT {ROWS['priced_rows']}, {ROWS['fallback_rows']} FROM ledger{chosen}"
    ).fetchall()[0]
    return dict(zip(COUNTED, (calls, priced, guessed, fallback, untimed), strict=True)), first, last


def ranked(store: Store, dimension: str, cells: CostCells | None = None) -> list[str]:
    """All names of a dimension: the eight dearest first, in the order in which the log first names them.

    That order lasts as a log grows, so colours given by it do too. A missing name reads `(none)`.
    """
    if cells and cells.answers([dimension]):
        rows = cells.dearest(dimension)
    else:
        asked = dimensions.dimension(dimension)
        with store.read() as con:
            rows = dearest(con, labelled(con, store, f"{costs_relation(con)} AS costs", [asked]), asked, "call_no")
    top = sorted(rows[: len(HUES)], key=lambda row: row[1])
    return [label(row[0]) for row in (*top, *rows[len(HUES) :])]


def label(name: object) -> str:
    """A dimension's value as a legend shows it."""
    return UNNAMED if name is None or name == "" else str(name)


def dollars(text: str | None) -> Decimal | None:
    """An amount of a JSON document."""
    return None if text is None else Decimal(text)


def amount(text: str | None) -> Decimal:
    """An amount that is drawn: unpriced draws nothing."""
    return Decimal(0) if text is None else Decimal(text)


def trajectory(report: Document, dimension: str, colours: Mapping[str, str], limit: int = MAX_STACKS) -> Trajectory:
    """Stacks per day from `hindcast cost --by day,<dimension> --json`; names beyond the dearest are one stack."""
    rows = [row for row in report["rows"] if row["day"] is not None]
    if not rows:
        return Trajectory([], {})
    days = sorted(date.fromisoformat(row["day"]) for row in rows)
    span = [days[0] + timedelta(days=number) for number in range((days[-1] - days[0]).days + 1)]
    whole: dict[str, Decimal] = {}
    for row in rows:
        name = label(row[dimension])
        whole[name] = whole.get(name, Decimal(0)) + amount(row["cost_usd"])
    by_cost = sorted(whole, key=lambda name: (-whole[name], name))
    kept = set(by_cost if len(by_cost) <= limit else by_cost[: limit - 1])
    names = legend_order(colours, kept)
    if len(by_cost) > len(kept):
        names.append(OTHER)
    at = {day: position for position, day in enumerate(span)}
    stacks = {name: [Decimal(0)] * len(span) for name in names}
    for row in rows:
        name = label(row[dimension])
        stacks[name if name in kept else OTHER][at[date.fromisoformat(row["day"])]] += amount(row["cost_usd"])
    return Trajectory(span, stacks)


def by_week(drawn: Trajectory) -> Trajectory:
    """The same dollars by week, for logs that span so many days that a bar would be a hair."""
    if len(drawn.days) <= MOST_BARS:
        return drawn
    start = drawn.days[0] - timedelta(days=drawn.days[0].weekday())
    weeks = [start + timedelta(days=7 * number) for number in range((drawn.days[-1] - start).days // 7 + 1)]
    stacks = {name: [Decimal(0)] * len(weeks) for name in drawn.stacks}
    for name, amounts in drawn.stacks.items():
        for day, usd in zip(drawn.days, amounts, strict=True):
            stacks[name][(day - start).days // 7] += usd
    return Trajectory(weeks, stacks, weekly=True)


def trajectory_finding(
    drawn: Trajectory, dimension: str, diagnosis: Document | None, whole_days: Iterable[date]
) -> str:
    """What the picture shows: since when a day costs more or less, or how much it costs; and which name is most of it.

    Means are over the complete days, where there are any.
    """
    whole = set(whole_days)
    kept = [i for i, day in enumerate(drawn.days) if drawn.weekly or day in whole] or list(range(len(drawn.days)))
    run = None if drawn.weekly or not diagnosis else told(diagnosis)
    since = run.first if run is not None and run.lasting else None
    before = [i for i in kept if since and drawn.days[i] < since]
    after = [i for i in kept if since and drawn.days[i] >= since]
    if since and before and after:
        change = _mean(drawn.totals, after) - _mean(drawn.totals, before)
        said = f"{money(_mean(drawn.totals, after))} a day since {day_text(since)}, "
        said += f"{money(_mean(drawn.totals, before))} before"
        parts = {name: _mean(usd, after) - _mean(usd, before) for name, usd in drawn.stacks.items()}
        of = "of the change is"
    else:
        change = _mean(drawn.totals, kept)
        said = f"{money(change)} a {'week' if drawn.weekly else 'day'} on average"
        parts = {name: _mean(usd, kept) for name, usd in drawn.stacks.items()}
        of = "of it is"
    top = max((name for name in parts if name != OTHER), key=lambda name: (abs(parts[name]), name), default=None)
    if top is None or len(parts) < 2 or not change or parts[top] / change <= 0:
        return said
    return f"{said}: {share(float(parts[top] / change))} {of} {dimension} '{top}'"


def _mean(amounts: Sequence[Decimal], at: Sequence[int]) -> Decimal:
    return sum((amounts[i] for i in at), Decimal(0)) / len(at)


def hidden_reads(report: Document) -> list[str]:
    """What the logged cost reveals of cache reads that the log does not show; empty if nothing."""
    total = report["total"]
    if not any(found["accepted"] for found in report["hidden_cache"]) or total.get("effective_usd") is None:
        return []
    shown, effective = Decimal(total["cost_usd"]), Decimal(total["effective_usd"])
    if shown == effective:
        return []
    return [
        f"List prices: {money(shown)}. The log's own cost reveals cached tokens that it does not count; with them the "
        f"same calls come to {money(effective)} (hindcast cost)."
    ]


def day_costs(report: Document) -> dict[date, Decimal]:
    """Dollars per day from `hindcast cost --by day,... --json`."""
    costs: dict[date, Decimal] = {}
    for row in report["rows"]:
        if row["day"] is not None:
            day = date.fromisoformat(row["day"])
            costs[day] = costs.get(day, Decimal(0)) + amount(row["cost_usd"])
    return dict(sorted(costs.items()))


def total_of(costs: Mapping[date, Decimal], days: Iterable[date]) -> Decimal:
    """The sum over some days; a day without calls adds nothing."""
    return sum((costs.get(day, Decimal(0)) for day in days), Decimal(0))


def under_way(ahead: Outlook | None, coverage: Coverage) -> Outlook | None:
    """The month's outlook, unless the log went on for days after that month: then no month is under way."""
    if ahead is None or not coverage.days or (coverage.days[-1] - ahead.last).days > STALE:
        return None
    return ahead


def change(now: Decimal, before: Decimal) -> float | None:
    """The relative change; None where there is nothing to compare with."""
    return float((now - before) / before) if before > 0 else None


# -- the spike ---------------------------------------------------------------------------------------------------------


def driver_lines(diagnosis: Document) -> list[DriverLine]:
    """The drivers of a document of `hindcast diagnose --json` as the objects that the narrative words. Dollars."""
    return [
        DriverLine(
            **{
                **driver,
                "delta": Decimal(driver["delta"]),
                "order_range": None,  # no text tells it
                "undo_saves": dollars(driver["undo_saves"]),
            }
        )
        for driver in diagnosis["drivers"]
    ]


def filter_of(segment: Mapping[str, Any]) -> tuple[tuple[str, str | None], ...]:
    """The calls of a driver's segment, as `hindcast calls` is asked for them."""
    return tuple((name, None if value is None else str(value)) for name, value in segment.items())


def sentences(diagnosis: Document) -> list[str]:
    """The diagnosis in sentences: how much, and what most of it is."""
    first, *others = diagnosis["sentences"]
    return [first, " ".join(others)] if others else [first]


def expected_range(diagnosis: Document) -> tuple[Decimal, Decimal] | None:
    """The range that the day was expected in; None without enough history."""
    given = diagnosis["range"]
    return None if given is None else (Decimal(given["low"]), Decimal(given["high"]))


@dataclass(frozen=True)
class Told:
    """A run of days that stand out, as it is told. `lasting`: a new level; else one day or a few.

    `goes_on`: up to the newest day, or as the level that became normal.
    """

    first: date
    last: date
    lasting: bool
    goes_on: bool
    actual: Decimal  # dollars of the first day
    expected: Decimal
    days_ago: int


def told(diagnosis: Document) -> Told | None:
    """The run that a page tells of: that of the diagnosed day; if that is the newest and ordinary, the newest level of
    the last LEVEL_NEWS days, else the newest run of the last RUN_NEWS days. None where no day stands out."""
    runs, day = diagnosis["flagged_runs"], diagnosis["day"]
    if diagnosis["flagged"]:
        found = next((run for run in runs if run["first"] <= day <= run["last"]), None)
    elif diagnosis["newest"]:
        news = date.fromisoformat(day) - timedelta(days=LEVEL_NEWS)
        levels = [run for run in runs if run["kind"] == "level" and date.fromisoformat(run["first"]) >= news]
        found = next(iter([*levels, *(run for run in runs if run["days_ago"] <= RUN_NEWS)]), None)
    else:
        found = None
    return None if found is None else as_told(found)


def told_within(diagnosis: Document, first: date, last: date) -> Told | None:
    """The newest run with a day from `first` to `last`; None where none stands out."""
    runs = (as_told(run) for run in diagnosis["flagged_runs"])
    return next((run for run in runs if run.first <= last and run.last >= first), None)


def as_told(run: Document) -> Told:
    """A run of `flagged_runs` in a document of `hindcast diagnose --json`."""
    return Told(
        first=date.fromisoformat(run["first"]),
        last=date.fromisoformat(run["last"]),
        lasting=run["kind"] == "level",
        goes_on=run["kind"] == "level" or run["days_ago"] == 0,
        actual=Decimal(repr(run["actual"])),
        expected=Decimal(repr(run["expected"])),
        days_ago=run["days_ago"],
    )


def stands_out_since(diagnosis: Document) -> date | None:
    """The first day of the level, or of the days up to the newest, that stand out; None where none do by now."""
    found = told(diagnosis)
    return found.first if found is not None and found.goes_on else None


def steps_by_place(diagnosis: Document, limit: int = DRIVERS_SHOWN) -> list[Step]:
    """Expected, the drivers in the order of the document, the smaller ones as one, what is unexplained, actual."""
    lines = driver_lines(diagnosis)
    steps = [Step(narrative.place(line.segment), line.delta, detail=narrative.what(line)) for line in lines[:limit]]
    if len(lines) > limit:
        rest = sum((line.delta for line in lines[limit:]), Decimal(0))
        steps.append(Step(f"{len(lines) - limit} smaller drivers", rest))
    return _between(diagnosis, steps)


def steps_by_cause(diagnosis: Document, limit: int | None = None) -> list[Step]:
    """Expected, the causes in the order of the document, what is unexplained, actual.

    With `limit` only as many causes, the others as one, and what is unexplained only where something is.
    """
    steps = [Step(str(cause["title"]), amount(cause["delta"]), detail=places(cause)) for cause in causes(diagnosis)]
    if limit is None:
        return _between(diagnosis, steps)
    kept = [step for step in steps if step.detail][:limit]
    rest = sum((step.amount for step in steps if step not in kept), Decimal(0))
    found = _between(diagnosis, [*kept, *([Step("smaller changes", rest)] if rest else [])])
    return [step for step in found if step.label != "unexplained" or step.amount]


def _between(diagnosis: Document, steps: list[Step]) -> list[Step]:
    first, last = amount(diagnosis["expected"]), amount(diagnosis["actual"])
    unexplained = Step("unexplained", amount(diagnosis["residual"]))
    return [Step("expected", first, "total"), *steps, unexplained, Step("actual", last, "total")]


def causes(diagnosis: Document) -> list[Document]:
    """The causes; they and the residual sum to the change."""
    return list(diagnosis.get("causes") or [])


def places(cause: Document) -> str:
    """Where a cause is at work."""
    return narrative.places([dict(segment) for segment in cause["segments"]]) if cause["segments"] else ""


# -- strategies --------------------------------------------------------------------------------------------------------


def savings_steps(result: StrategyResult) -> list[Step]:
    """Logged cost, minus what each stage saves, is what the strategy would have cost. Dollars; unpriced draws zero."""
    priced = bool(result.priced_calls)
    stages = [Step(stage.replace("_", " "), -from_pico(saved) * priced) for stage, saved in result.savings_pico.items()]
    first, last = from_pico(result.baseline_pico) * priced, from_pico(result.cost_pico) * priced
    return [Step("logged", first, "total"), *stages, Step(result.name, last, "total")]
