"""What a report says: the story of one store, gathered once from the same functions as the commands and the pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from analysis import time_zone
from analysis.diagnosis import narrative
from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from analysis.forecast.month_outlook import Outlook, outlook
from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from analysis.formatting import money, share
from analysis.gates import settings as gate_settings
from analysis.money import dollars
from analysis.reports.cost import cost
from dashboard.documents import document_views
from dashboard.documents.decision import Decision, decide
from dashboard.documents.document_views import Coverage, Document, Told
from dashboard.documents.period_review import Review, period_of, review
from dashboard.documents.showback import Showback, showback
from dashboard.render import palette
from ingest.errors import InputError
from ingest.store.database import Store
from replay.advice.recommend import recommended
from replay.advice.result_in_words import of_all_calls, sentence
from replay.engine.run import Replay, StrategyResult, run
from replay.strategy.schema import Strategy

_DAY: Final = re.compile(
    r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\d{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b(?! \d{4})"
)


@dataclass(frozen=True)
class Findings:
    """The documents behind a report.

    `run` is the run of odd days that it tells of, None where there is none; `diagnosis` is of its first day, else of
    the newest. `earlier` says of the other runs, newest first.
    """

    store: str
    coverage: Coverage
    costs: dict[date, Decimal]
    by_agent: Document
    colours: Mapping[str, str]
    diagnosis: Document | None
    replay: Replay | None
    ahead: Outlook | None
    run: Told | None = None
    newest: str = ""  # the newest day that can be judged, in a sentence
    earlier: tuple[str, ...] = ()
    review: Review | None = None  # of the period that was asked for
    decision: Decision = field(default_factory=Decision)
    showback: Showback | None = None  # where it was asked for

    @property
    def spike(self) -> date | None:
        """The first day that stood out; None if none did lately."""
        return self.run.first if self.run else None

    @property
    def best(self) -> StrategyResult | None:
        """The strategy that is recommended; None where none was replayed."""
        return recommended(self.replay.strategies) if self.replay else None

    def before(self) -> Decimal | None:
        """Mean dollars of the complete days before the spike; of all complete days if there is none."""
        return self.mean(self.days_before())

    def since(self) -> Decimal | None:
        """Mean dollars of the complete days of the new level; after the odd days, where it is none."""
        return self.mean(self.days_since())

    def days_before(self) -> list[date]:
        return [day for day in self.coverage.mean_days if self.run is None or day < self.run.first]

    def days_since(self) -> list[date]:
        if self.run is None:
            return []
        first = self.run.first if self.run.lasting else self.run.last + timedelta(days=1)
        return [day for day in self.coverage.mean_days if day >= first]

    def mean(self, days: Sequence[date]) -> Decimal | None:
        """Mean dollars of some days, those without a call as $0; None of no days."""
        return document_views.total_of(self.costs, days) / len(days) if days else None


def gather(
    store: Store,
    strategies: Sequence[Strategy],
    *,
    day: date | None = None,
    period: tuple[date, date | None] | None = None,
    showback_by: str | None = None,
    finance: bool = False,
    done: Callable[[str], None] | None = None,
) -> Findings:
    """Everything a report needs. `day` is explained instead of the newest odd one; strategies are replayed over the
    complete days of the level that it began, or over all.

    With `period`, the first and the last day or None, its whole days are told beside those before it, the newest odd
    day of it is explained, and strategies are replayed over it. With `finance` the bill is also told by a dimension,
    `showback_by` or the one that calls have.

    Raises InputError where there is no call to speak of.
    """
    coverage = document_views.coverage(store)
    if not coverage.calls:
        raise InputError("the store holds no calls", where=store.address, remedy="Ingest some: hindcast ingest PATH")
    by_agent = cost(store, by=("day", "agent")).to_json()
    costs = document_views.day_costs(by_agent)
    asked = period_of(store, coverage, *period) if period else None
    newest = _newest(store, day or (asked and asked[1]))
    run_told = document_views.told(newest) if newest else None
    if newest and asked and day is None:
        run_told = document_views.told_within(newest, *asked)
    found = newest
    if newest and run_told and day is None and run_told.first.isoformat() != newest["day"]:
        found = to_json(diagnose(store, day=run_told.first))
    since, until = asked or _window(coverage, run_told)
    replayed = run(store, strategies, since=since, until=until, done=done) if strategies and costs else None
    settings = gate_settings.read()
    found_all = Findings(
        store=store.path.name,
        coverage=coverage,
        costs=costs,
        by_agent=by_agent,
        colours=palette.assign(document_views.ranked(store, "agent")),
        diagnosis=found,
        replay=replayed if replayed and replayed.strategies and replayed.daily else None,
        ahead=document_views.under_way(outlook(costs, coverage.whole_days), coverage),
        run=run_told,
        newest=document_views.sentences(newest)[0] if newest and newest is not found else "",
        earlier=tuple(_earlier(newest, run_told)) if newest else (),
        review=review(store, settings, coverage, by_agent, costs, *asked) if asked else None,
        showback=showback(store, showback_by, *(asked or ())) if finance else None,
    )
    best = found_all.best
    return replace(
        found_all,
        decision=decide(
            store,
            settings,
            best,
            next((one for one in strategies if best is not None and one.name == best.name), None),
            calls=coverage.calls,
            window=(since, until),
            before=found_all.days_before() if run_told is not None and run_told.lasting else [],
            newest=coverage.days[-1] if coverage.days else None,
        ),
    )


def _newest(store: Store, day: date | None) -> dict[str, Any] | None:
    """The diagnosis of `day`, by default of the newest that can be judged."""
    if day is not None:
        return to_json(diagnose(store, day=day))
    try:
        return to_json(diagnose(store))
    except InputError:  # no call has both a time and a price: the report says so by its counts
        return None


def _earlier(newest: Document, run_told: Told | None) -> list[str]:
    others = [run for run in newest["flagged_runs"] if run_told is None or run["last"] < run_told.first.isoformat()]
    return [narrative.run_in_words(run) for run in others]


def _window(coverage: Coverage, run_told: Told | None) -> tuple[date | None, date | None]:
    """The complete days since a run that goes on began; all days where there is none."""
    first = run_told.first if run_told is not None and run_told.goes_on else None
    days = [day for day in coverage.whole_days if first is not None and day >= first]
    return (days[0], days[-1]) if days else (None, None)


def days_in_words(findings: Findings, most: int = 3) -> str:
    """The newest day, where the report tells of another, and the last runs of odd days before the one told."""
    before = f"Stood out before: {' '.join(findings.earlier[:most])}" if findings.earlier else ""
    return " ".join(text for text in (findings.newest and f"Newest day: {findings.newest}", before) if text)


def with_years(text: str, coverage: Coverage) -> str:
    """The text with a year behind each `Tue 5 Mar` that has none: the newest that the weekday fits, up to a year after
    the log."""
    if not coverage.days:
        return text
    last = coverage.days[-1] + timedelta(days=366)

    def dated(found: re.Match[str]) -> str:
        weekday, number, month = found.groups()
        for year in range(last.year, coverage.days[0].year - 1, -1):
            try:
                day = datetime.strptime(f"{number} {month} {year}", "%d %b %Y").date()
            except ValueError:
                continue
            if day <= last and f"{day:%a}" == weekday:
                return f"{found[0]} {year}"
        return found[0]

    return _DAY.sub(dated, text)


# -- sentences ---------------------------------------------------------------------------------------------------------


def headline(findings: Findings) -> str:
    """The report in one sentence."""
    if findings.review is not None:
        return findings.review.headline
    found, before, since = findings.run, findings.before(), findings.since()
    if found is None:
        whole = findings.mean(findings.coverage.mean_days)
        lately = " lately" if findings.earlier else ""
        return (
            f"The LLM bill is {money(whole)} a day and no day stands out{lately}"
            if whole is not None
            else "The LLM bill"
        )
    first = findings.coverage.named(found.first)
    if found.lasting and before is not None and since is not None:
        return f"The LLM bill went from {money(before)} to {money(since)} a day on {first}"
    days = f"{first} to {day_text(found.last)}" if found.first != found.last else first
    actual, expected = _first_day(findings, found)
    said = f"{first} cost {actual}, {expected} was expected"
    if found.first != found.last:
        said = f"From {days} a day cost more or less than expected, {actual} instead of {expected} at first"
    if found.goes_on or since is None:
        return f"{said}; {money(before)} a day before it" if before is not None else said
    return f"{said}; the days since cost {money(since)} a day, those before it {money(before)}"


def _first_day(findings: Findings, found: Told) -> tuple[str, str]:
    """What the first day of the run cost, and what was expected: as diagnosed, where that is the day diagnosed."""
    told = findings.diagnosis
    if told is not None and told["day"] == found.first.isoformat():
        by = f" by {told['until']}" if told["until"] else ""
        return money(document_views.dollars(told["actual"])) + by, money(document_views.dollars(told["expected"]))
    return money(found.actual), money(found.expected)


def recommendation(findings: Findings) -> str:
    """What to do, then the recommended strategy's result in the words of `hindcast replay`."""
    best = findings.best
    if best is None:
        return "No policy was compared: name strategy files to have them replayed."
    return f"{_advice(best)} {sentence(best)}"


def _advice(best: StrategyResult) -> str:
    if not best.priced_calls:
        return f"Nothing can be said of '{best.name}': the models that it asks for have no price."
    if (best.saved_share or 0.0) <= 0:
        return "Keep what you have: none of the policies compared costs less."
    if best.quality["verdict"] == "passes":
        return f"Adopt '{best.name}'."
    if best.quality["verdict"] == "fails":
        return "Adopt none of these yet: even the cheapest falls below the quality floor."
    return (
        f"Test '{best.name}' before adopting it: the log holds too few quality scores to say what it does to the "
        "answers."
    )


def certainty(findings: Findings) -> list[str]:
    """How sure the figures are: the range, and what is counted but not in them."""
    best = findings.best
    said = []
    if best is not None and best.priced_calls:
        low, high = money(dollars(best.low_pico)), money(dollars(best.high_pico))
        if low != high:
            said.append(
                f"Over the days replayed, '{best.name}' would have cost between {low} and {high} (logged: "
                f"{money(dollars(best.baseline_pico))}), depending on how long the other model's answers are."
            )
        elif best.low_pico != best.high_pico:
            said.append("The cost figure is the same to the cent however long the other model's answers are.")
        else:
            said.append("The cost figure needs no assumption: it is exact for the logged traffic.")
        if best.newly_unpriced:
            lost = counted(best.newly_unpriced, "call")
            said.append(f"{lost} would have no price under '{best.name}' and stand on neither side.")
    return said + findings.coverage.remarks()


def numbers(findings: Findings) -> list[tuple[str, str, str]]:
    """The three figures of the story: label, value, detail."""
    if findings.review is not None:
        return _of_the_period(findings, findings.review)
    told, best, coverage = findings.run, findings.best, findings.coverage
    before, since = findings.days_before(), findings.days_since()
    if told is None:
        days = coverage.mean_days
        found = [("A day costs", money(findings.mean(days)), coverage.mean_of(days))]
    elif told.lasting:
        found = [
            ("Before", money(findings.before()), f"a day, {coverage.mean_of(before)}"),
            (f"Since {day_text(told.first)}", money(findings.since()), f"a day, {coverage.mean_of(since)}"),
        ]
    else:
        actual, expected = _first_day(findings, told)
        every = coverage.mean_days
        found = [
            (coverage.named(told.first), actual, f"expected {expected}"),
            ("A day costs", money(findings.mean(every)), coverage.mean_of(every)),
        ]
    if best is not None:
        found.append((f"With '{best.name}'", money(best.per_day()), _less(best)))
    if findings.ahead is not None and findings.decision.month is not None and len(found) < 3:
        ahead = findings.ahead
        text = f"{ahead.first:%B %Y}, as days go on"
        found.append((text, money(ahead.expected), f"{money(ahead.low)} to {money(ahead.high)}"))
    return found[:3]


def _of_the_period(findings: Findings, found: Review) -> list[tuple[str, str, str]]:
    days = [day for day in findings.coverage.whole_days if found.first <= day <= found.last]
    told = [
        (f"{day_text(found.first)} to {day_text(found.last)}", money(found.total), found.change),
        ("A day costs", money(findings.mean(days)), findings.coverage.mean_of(days)),
    ]
    if findings.best is not None:
        return [*told, (f"With '{findings.best.name}'", money(findings.best.per_day()), _less(findings.best))]
    return [*told, ("Calls", f"{found.calls:,}", f"{found.calls_before:,} before")]


def _less(best: StrategyResult) -> str:
    """`a day instead of $6.46, 78.5 % less`, or more: than the same calls as logged, which may be those of the newest
    level alone."""
    if not best.priced_calls or best.saved_share is None:
        return "nothing it asks for has a price"
    change = f"{share(abs(best.saved_share))} {'less' if best.saved_share >= 0 else 'more'}{of_all_calls(best)}"
    return f"a day instead of {money(best.logged_per_day())}, {change}"


def method(findings: Findings) -> list[str]:
    """How the figures were computed, so that anyone can compute them again."""
    coverage = findings.coverage
    said = [
        f"Log: {coverage.calls:,} calls from {coverage.first:%Y-%m-%d %H:%M} to {coverage.last:%Y-%m-%d %H:%M} UTC "
        f"in {findings.store}. Days are dates of the start of a call in {time_zone.label()}."
        if coverage.first and coverage.last
        else f"Log: {coverage.calls:,} calls without times in {findings.store}."
    ]
    version = findings.replay.price_book_version if findings.replay else findings.by_agent["price_book_version"]
    said.append(f"Price book: {version}. Each call is priced at the price of its day, exactly, in pico-dollars.")
    if findings.diagnosis:
        baseline = findings.diagnosis["baseline"]
        said.append(
            f"The spike is compared with {len(baseline['days'])} weighted earlier days ({baseline['kind']} baseline); "
            "its drivers are Shapley values and sum to the change."
        )
    if findings.replay:
        said.append(
            "Strategies are replayed over the same calls in time order; savings are Shapley values of the stages and "
            "sum to the difference. Caches start warm from the calls before the window."
        )
        said += [f"Run {entry.run_id}: {entry.name}." for entry in findings.replay.strategies]
    return said
