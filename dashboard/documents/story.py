"""What a report says: the story of one store, gathered once from the same functions as the commands and the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from analysis.anomalies.month_forecast import Outlook, outlook
from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from analysis.formatting import money, share
from analysis.money import dollars
from analysis.reports.cost import cost
from dashboard.documents import document_views
from dashboard.documents.document_views import Coverage, Document
from dashboard.render import palette
from ingest.errors import InputError
from ingest.store.database import Store
from replay.advice.recommend import recommended
from replay.advice.result_in_words import sentence
from replay.engine.run import Replay, StrategyResult, run
from replay.strategy.schema import Strategy


@dataclass(frozen=True)
class Findings:
    """The documents behind a report. `diagnosis` is of the day on which the newest run of odd days began."""

    store: str
    coverage: Coverage
    costs: dict[date, Decimal]
    by_agent: Document
    colours: Mapping[str, str]
    diagnosis: Document | None
    replay: Replay | None
    ahead: Outlook | None

    @property
    def spike(self) -> date | None:
        """The day the bill jumped; None if none did."""
        return document_views.stands_out_since(self.diagnosis) if self.diagnosis else None

    @property
    def best(self) -> StrategyResult | None:
        """The strategy that is recommended; None where none was replayed."""
        return recommended(self.replay.strategies) if self.replay else None

    def before(self) -> Decimal | None:
        """Mean dollars of the complete days before the spike; of all complete days if there is none."""
        return self._mean([day for day in self.coverage.whole_days if self.spike is None or day < self.spike])

    def since(self) -> Decimal | None:
        """Mean dollars of the complete days from the spike on."""
        return self._mean([day for day in self.coverage.whole_days if self.spike is not None and day >= self.spike])

    def _mean(self, days: Sequence[date]) -> Decimal | None:
        return document_views.total_of(self.costs, days) / len(days) if days else None


def gather(
    store: Store, strategies: Sequence[Strategy], *, day: date | None = None, done: Callable[[str], None] | None = None
) -> Findings:
    """Everything a report needs. `day` is explained instead of the newest odd one; strategies are replayed from it on.

    Raises InputError where there is no call to speak of.
    """
    coverage = document_views.coverage(store)
    if not coverage.calls:
        raise InputError("the store holds no calls", where=str(store.path), remedy="Ingest some: hindcast ingest PATH")
    by_agent = cost(store, by=("day", "agent")).to_json()
    costs = document_views.day_costs(by_agent)
    found = _explained(store, day)
    since, until = _window(coverage, found)
    replayed = run(store, strategies, since=since, until=until, done=done) if strategies and costs else None
    return Findings(
        store=store.path.name,
        coverage=coverage,
        costs=costs,
        by_agent=by_agent,
        colours=palette.assign(document_views.ranked(store, "agent")),
        diagnosis=found,
        replay=replayed if replayed and replayed.strategies and replayed.daily else None,
        ahead=document_views.under_way(outlook(costs, coverage.whole_days), coverage),
    )


def _explained(store: Store, day: date | None) -> dict[str, Any] | None:
    if day is not None:
        return to_json(diagnose(store, day=day))
    try:
        newest = diagnose(store)
    except InputError:  # no call has both a time and a price: the report says so by its counts
        return None
    return to_json(newest if newest.onset in (None, newest.day) else diagnose(store, day=newest.onset))


def _window(coverage: Coverage, found: Document | None) -> tuple[date | None, date | None]:
    first = document_views.stands_out_since(found) if found else None
    days = [day for day in coverage.whole_days if first is not None and day >= first]
    return (days[0], days[-1]) if days else (None, None)


# -- sentences ---------------------------------------------------------------------------------------------------------


def headline(findings: Findings) -> str:
    """The report in one sentence."""
    spike, before, since = findings.spike, findings.before(), findings.since()
    if spike is not None and before is not None and since is not None:
        return f"The LLM bill went from {money(before)} to {money(since)} a day on {day_text(spike)}"
    whole = findings._mean(findings.coverage.whole_days)
    return f"The LLM bill is {money(whole)} a day and no day stands out" if whole is not None else "The LLM bill"


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
    spike, best = findings.spike, findings.best
    if spike is None:
        whole = findings._mean(findings.coverage.whole_days)
        found = [("A day costs", money(whole), "mean of the complete days")]
    else:
        found = [
            ("Before", money(findings.before()), "a day, mean of the complete days before"),
            (f"Since {day_text(spike)}", money(findings.since()), "a day, mean of the complete days since"),
        ]
    if best is not None:
        found.append((f"With '{best.name}'", money(best.per_day()), _less(best)))
    if findings.ahead is not None and len(found) < 3:
        ahead = findings.ahead
        text = f"{ahead.first:%B}, if this week goes on"
        found.append((text, money(ahead.expected), f"{money(ahead.low)} to {money(ahead.high)}"))
    return found[:3]


def _less(best: StrategyResult) -> str:
    """`a day, 78.5 % less`, or more, than the logged cost of the same calls."""
    if not best.priced_calls or best.saved_share is None:
        return "nothing it asks for has a price"
    return f"a day, {share(abs(best.saved_share))} {'less' if best.saved_share >= 0 else 'more'}"


def method(findings: Findings) -> list[str]:
    """How the figures were computed, so that anyone can compute them again."""
    coverage = findings.coverage
    said = [
        f"Log: {coverage.calls:,} calls from {coverage.first:%Y-%m-%d %H:%M} to {coverage.last:%Y-%m-%d %H:%M} UTC "
        f"in {findings.store}. Days are UTC dates of the start of a call."
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
