"""Replays a store's traffic through strategies, and says what each would have cost, saved and risked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial as partial_of
from itertools import pairwise
from typing import Any

import numpy as np

from analysis import log_days
from analysis.formatting import usd
from analysis.money import dollars, exact_sum
from analysis.price_book import vocabulary
from analysis.price_book.book import stored_version
from ingest.store.database import Store
from replay.engine import limits, reproduction
from replay.engine.engine import Engine
from replay.engine.latency import LatencyReport, latency, latency_limits
from replay.engine.partial import SIDE_COSTS, Partial, merge, partial
from replay.engine.quality_evidence import evidence_for
from replay.engine.run_id import run_id
from replay.engine.savings import shapley, split_by
from replay.engine.shared_results import Shared
from replay.engine.unmatched import Unmatched, priced, unmatched
from replay.quality.gate import NO_EFFECT, QualityReport, assess
from replay.quality.how_to_know import how_to_know
from replay.quality.scores import Priors
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import EPOCH, MICRO, Bool, Traffic


@dataclass(frozen=True)
class Day:
    """One day under one policy. `cost` in pico-dollars, of the `priced` calls; unknown where there is none.

    `calls` counts a row that stands for several calls as many. `low` and `high` are the day's cost at either end of
    every assumption; None for what was logged.
    """

    day: date
    cost_pico: int
    calls: int
    hits: int = 0
    priced: int = 1
    low_pico: int | None = None
    high_pico: int | None = None

    def to_json(self) -> dict[str, Any]:
        row = {
            "day": self.day.isoformat(),
            "cost_usd": _usd(self.cost_pico, self.priced),
            "calls": self.calls,
            "hits": self.hits,
        }
        if self.low_pico is not None and self.high_pico is not None:
            row |= {
                "cost_low_usd": _usd(self.low_pico, self.priced),
                "cost_high_usd": _usd(self.high_pico, self.priced),
            }
        return row


@dataclass(frozen=True)
class StrategyResult:
    """What one strategy would have cost over the window. Money in pico-dollars, of the `priced_calls`.

    Those have a price both as logged and under the strategy; where there is none, nothing is known of the cost.
    """

    name: str
    run_id: str
    baseline_pico: int  # the logged cost of the very calls that `cost` is of
    cost_pico: int
    low_pico: int
    high_pico: int
    daily: tuple[Day, ...]
    whole_days: tuple[date, ...]
    demand: int
    hits: int
    coalesced: int
    tier_hits: dict[str, int]
    savings_pico: dict[str, int]
    tier_savings_pico: dict[str, int]
    quality: dict[str, Any]
    priced_calls: int
    unpriced_calls: int
    newly_unpriced: int  # of these, the calls that have a price as logged and none under the strategy
    logged_daily_pico: dict[date, int]  # the logged cost of the very calls that `daily` is of
    side_pico: dict[str, int]  # part of `cost` that routing itself costs: classifier, cascade, on_error, rework
    stayed: dict[str, int]  # calls that did not fit their rule's target, by reason
    limits: tuple[str, ...]
    unmatched: tuple[Unmatched, ...] = ()  # names of the file that match nothing
    prompt_cache: tuple[dict[str, Any], ...] = ()  # predicted against logged, where the result rests on the simulation
    dollars: str = "told"  # how far the log bears out the simulation behind them: told, range or refused
    latency: LatencyReport | None = None  # of calls and critical paths, where it was asked for
    behaviour: tuple[dict[str, Any], ...] = ()  # what other models are expected to make of moved calls, by group
    calibration: tuple[dict[str, Any], ...] = ()  # what of the log's simulation the result rests on, against the log

    def usd_per_outcome(self) -> tuple[float | None, float | None, float | None]:
        """Dollars per good outcome (the sum of scores): under the strategy, at most (by the 90 % bound), as logged.

        None where a call has no price or a quality is unknown.
        """
        mean, ratio, low = (self.quality.get(name) for name in ("logged_score", "mean_ratio", "lower_90"))
        good = (mean or 0.0) * self.quality.get("units", 0.0)
        if not good or not ratio or self.unpriced_calls:
            return None, None, None
        cost, logged = (pico / 1e12 for pico in (self.cost_pico, self.baseline_pico))
        return cost / (good * ratio), cost / (good * low) if low else None, logged / good

    @property
    def hit_rate(self) -> float | None:
        """Hits of the response cache per call that asked it, 0 to 1; None where none asked."""
        return self.hits / self.demand if self.demand else None

    @property
    def saved_share(self) -> float | None:
        """Savings as a share of the baseline; None where dollars are refused or nothing was spent."""
        if self.dollars == "refused":
            return None
        return (self.baseline_pico - self.cost_pico) / self.baseline_pico if self.baseline_pico else None

    def per_day(self) -> Decimal | None:
        """Mean dollars a day over the complete days, or all days where none is complete.

        None: nothing has a price, or the simulation behind the dollars does not reproduce the log.
        """
        if not self.priced_calls or self.dollars == "refused":
            return None
        return mean_per_day({row.day: row.cost_pico for row in self.daily}, self.whole_days)

    def per_day_range(self) -> tuple[Decimal, Decimal] | None:
        """The same mean at the cheap and at the dear end of every assumption. None: nothing has a price."""
        ends = [
            mean_per_day({row.day: getattr(row, end) for row in self.daily}, self.whole_days)
            for end in ("low_pico", "high_pico")
        ]
        return (ends[0], ends[1]) if self.priced_calls and ends[0] is not None and ends[1] is not None else None

    def logged_per_day(self) -> Decimal | None:
        """The same mean of what the very same calls cost as logged."""
        return mean_per_day(self.logged_daily_pico, self.whole_days) if self.priced_calls else None

    def to_json(self) -> dict[str, Any]:
        told = 0 if self.dollars == "refused" else self.priced_calls
        return {
            "name": self.name,
            "run_id": self.run_id,
            "baseline_cost_usd": _usd(self.baseline_pico, self.priced_calls),
            "cost_usd": _usd(self.cost_pico, told),
            "cost_low_usd": _usd(self.low_pico, self.priced_calls),
            "cost_high_usd": _usd(self.high_pico, self.priced_calls),
            "usd_per_day": usd(self.per_day()),
            "baseline_usd_per_day": usd(self.logged_per_day()),
            "saved_share": self.saved_share,
            "daily": [row.to_json() for row in self.daily],
            "demand_calls": self.demand,
            "hits": self.hits,
            "coalesced": self.coalesced,
            "hit_rate": self.hit_rate,
            "tier_hits": self.tier_hits,
            "savings": {stage: _usd(amount, told) for stage, amount in self.savings_pico.items()},
            "savings_by_tier": {tier: _usd(amount, told) for tier, amount in self.tier_savings_pico.items()},
            "quality": self.quality,
            "usd_per_outcome": dict(
                zip(("mid", "at_most", "logged"), map(_twelve, self.usd_per_outcome()), strict=True)
            ),
            "unpriced_calls": self.unpriced_calls,
            "newly_unpriced_calls": self.newly_unpriced,
            "side_costs": {kind: _usd(amount, self.priced_calls) for kind, amount in self.side_pico.items()},
            "stayed": self.stayed,
            "unmatched": [one.to_json() for one in self.unmatched],
            "prompt_cache": list(self.prompt_cache),
            "dollars": self.dollars,
            "calibration": list(self.calibration),
            "behaviour": list(self.behaviour),
            "latency": self.latency.to_json() if self.latency else None,
            "limits": list(self.limits),
        }


@dataclass(frozen=True)
class Replay:
    """All strategies over one window, beside what was logged."""

    baseline_pico: int | None
    daily: tuple[Day, ...]
    whole_days: tuple[date, ...]
    unpriced_calls: int
    untimed_calls: int
    price_book_version: str
    idle_days: int = 0  # of the whole days, those without a call: they cost $0 in every mean
    strategies: tuple[StrategyResult, ...] = field(default=())

    def mean_of(self) -> str:
        """What the means a day are of, in words."""
        if not self.whole_days:
            return log_days.mean_of(len(self.daily), 0, "day with calls")
        return log_days.mean_of(len(self.whole_days), self.idle_days)

    def per_day(self) -> Decimal | None:
        """Mean dollars a day of the priced calls; None where there is none."""
        costs = {row.day: row.cost_pico for row in self.daily}
        return mean_per_day(costs, self.whole_days) if self.baseline_pico is not None else None

    def to_json(self) -> dict[str, Any]:
        return {
            "baseline": {
                "cost_usd": None if self.baseline_pico is None else usd(dollars(self.baseline_pico)),
                "usd_per_day": usd(self.per_day()),
                "complete_days": len(self.whole_days),
                "days_without_calls": self.idle_days,
                "daily": [row.to_json() for row in self.daily],
                "unpriced_calls": self.unpriced_calls,
                "untimed_calls": self.untimed_calls,
            },
            "price_book_version": self.price_book_version,
            "strategies": [result.to_json() for result in self.strategies],
        }


Parts = Callable[[Sequence[Engine]], Sequence[Partial]]
"""Finds what each engine's traffic adds up to from its parts."""


def run(
    store: Store,
    strategies: Sequence[Strategy],
    *,
    since: date | None = None,
    until: date | None = None,
    cold: bool = False,
    scores: Priors | None = None,
    done: Callable[[str], None] | None = None,
    inspect: Callable[[Engine], None] | None = None,
    timed: bool = False,
    parts: Parts | None = None,
) -> Replay:
    """Replay the window [since, until] (days, inclusive) through each strategy.

    Caches are warm from all earlier calls unless `cold`. `done` is called with each finished strategy's name,
    `inspect` with its engine, which holds what became of each call. With `timed` each result has its latency, else
    only that of a strategy that asks for one. Without `parts` the whole traffic is the one part.
    """
    loaded: dict[str, Traffic] = {}
    traffic = _traffic(store, loaded, "canonical", since, until, cold)
    with store.read() as con:
        book_version = stored_version(con) or "none"
    priced = traffic.window & (traffic.cost != vocabulary.UNPRICED)
    whole = tuple(traffic.log.within(since, until))
    shared: dict[str, Shared] = {}
    results = []

    def engine_of(strategy: Strategy) -> Engine:
        policy = strategy.cache.key if strategy.cache else "canonical"
        return Engine(
            _traffic(store, loaded, policy, since, until, cold),
            strategy,
            shared.setdefault(policy, Shared(strategies)),
        )

    for engine, found in _found(map(engine_of, strategies), parts):
        results.append(_result(engine, found, whole, book_version, scores, timed=timed))
        if inspect:
            inspect(engine)
        if done:
            done(engine.strategy.name)
    return Replay(
        baseline_pico=exact_sum(traffic.cost[priced]) if priced.any() else None,
        daily=_logged_days(traffic, priced),
        whole_days=whole,
        unpriced_calls=_calls(traffic, traffic.window & ~priced),
        untimed_calls=traffic.untimed_calls,
        price_book_version=book_version,
        idle_days=traffic.log.idle(whole),
        strategies=tuple(results),
    )


def _found(engines: Iterator[Engine], parts: Parts | None) -> Iterator[tuple[Engine, Partial]]:
    """Each engine with the sums over its traffic, one after the other where each is the one part."""
    if parts is None:
        for engine in engines:
            yield engine, merge([partial(engine)])
        return
    asked = list(engines)
    for engine, found in zip(asked, parts(asked), strict=True):
        engine.provider.used = found.of("parts", "provider caches") > 0
        yield engine, found


def _result(
    engine: Engine, found: Partial, whole: tuple[date, ...], book_version: str, priors: Priors | None, *, timed: bool
) -> StrategyResult:
    """The result of a strategy from the sums over its traffic, and what is judged of all calls together."""
    traffic = engine.traffic
    savings = shapley(engine.players, lambda on: -found.of("total", on))
    tiers = [tier.name for tier in (engine.strategy.cache.tiers if engine.strategy.cache else ())]
    worth = [found.of("tier", place, "worth") for place in range(len(tiers))]
    assessed = _assessed(engine, found, priors)
    names = unmatched(engine.strategy, traffic, partial_of(priced, engine))
    rests_on = reproduction.concerned(engine, found.checked) if engine.players else ()
    gated = reproduction.sentence(rests_on)
    moved = engine.moved(engine.everything)
    low, high = found.low.by_day("low", moved), found.high.by_day("high", moved)
    days = {number: EPOCH + timedelta(days=number) for number in found.days}
    slow = latency(engine, found.reach, found.sampled) if timed or engine.strategy.latency else None
    return StrategyResult(
        name=engine.strategy.name,
        run_id=run_id(engine.strategy, book_version, found.data, priors),
        baseline_pico=sum(found.of("day", number, "logged") for number in days),
        cost_pico=found.of("total", engine.everything),
        low_pico=sum(low.values()),
        high_pico=sum(high.values()),
        daily=tuple(
            Day(
                day,
                found.of("day", number, "cost"),
                _whole(found.of("day", number, "calls")),
                _whole(found.of("day", number, "hits")),
                found.of("day", number, "priced"),
                low.get(number, 0),
                high.get(number, 0),
            )
            for number, day in days.items()
        ),
        whole_days=whole,
        demand=_whole(found.of("calls", "demand")),
        hits=_whole(found.of("calls", "hits")),
        coalesced=_whole(found.of("calls", "coalesced")),
        tier_hits={name: found.of("tier", place, "hits") for place, name in enumerate(tiers)},
        savings_pico=savings,
        tier_savings_pico=dict(zip(tiers, split_by(savings["cache"], worth), strict=True)) if tiers else {},
        quality=assessed.to_json(),
        priced_calls=found.of("rows", "priced"),
        unpriced_calls=_whole(found.of("calls", "unpriced")),
        newly_unpriced=_whole(found.of("calls", "newly unpriced")),
        logged_daily_pico={day: found.of("day", number, "logged") for number, day in days.items()},
        side_pico={kind: found.of("side", kind) for kind in SIDE_COSTS if ("side", kind) in found.sums},
        stayed=engine.routing(engine.everything).stayed,
        limits=(
            *([gated] if gated else []),
            *(one.words for one in names),
            *limits.limits(engine, found),
            *limits.quality_limits(assessed),
            *(latency_limits(slow) if slow else ()),
        ),
        dollars=reproduction.dollars(rests_on),
        latency=slow,
        behaviour=engine.expectations(),
        calibration=tuple(one.to_json() for one in rests_on),
        prompt_cache=tuple(check.to_json() for check in engine.provider.checks()),
        unmatched=names,
    )


def _assessed(engine: Engine, sums: Partial, priors: Priors | None) -> QualityReport:
    """The verdict, and where it is unknown what would make it known; `no effect` where no call has changed.

    A strategy without a stage is the baseline, which passes.
    """
    found = assess(evidence_for(engine, priors))
    if engine.players and not sums.of("rows", "changed") and found.verdict == "passes":
        return replace(found, verdict=NO_EFFECT)
    if found.verdict != "unknown":
        return found
    moved = sums.by("moved")
    each = {
        engine.models[model][1]: sums.of("moved", model, "cost") // calls
        for (model, what), calls in sorted(moved.items()) if what == "calls" and isinstance(model, int)
    }  # fmt: skip
    return replace(found, to_know=how_to_know(found.cells, found.floor, len(engine.traffic.days), each, found.scope))


def mean_per_day(costs: dict[date, int], whole: Sequence[date]) -> Decimal | None:
    """Mean dollars over the complete days of the window, days without calls as $0, to the pico-dollar; over the days
    with calls where none is complete."""
    chosen = list(whole) or list(costs)
    if not chosen:
        return None
    return dollars(round(Fraction(sum(costs.get(day, 0) for day in chosen), len(chosen))))


def _traffic(
    store: Store, loaded: dict[str, Traffic], policy: str, since: date | None, until: date | None, cold: bool
) -> Traffic:
    if policy not in loaded:
        loaded[policy] = load(store, since=since, until=until, key_policy=policy, cold=cold)
    return loaded[policy]


def _logged_days(traffic: Traffic, priced: Bool) -> tuple[Day, ...]:
    """Sums per day of the window as logged; `calls` counts all calls of the day, priced or not."""
    if not traffic.window.any():
        return ()
    # calls come in order of time, so a day is a run of rows
    first, last = int(traffic.day[0]), int(traffic.day[-1])
    bounds = np.searchsorted(traffic.day, np.arange(first, last + 2, dtype=np.int32)).tolist()
    rows = []
    for number, (start, stop) in enumerate(pairwise(bounds)):
        inside = slice(start, stop)
        if traffic.window[inside].any():
            known = priced[inside]
            cost, calls = exact_sum(traffic.cost[inside][known]), _calls(traffic, traffic.window, inside)
            rows.append(Day(EPOCH + timedelta(days=first + number), cost, calls, 0, int(np.count_nonzero(known))))
    return tuple(rows)


def _calls(traffic: Traffic, chosen: Bool, inside: slice = slice(None)) -> int:
    """How many calls the chosen rows stand for, as a whole number."""
    if traffic.usage.weight_micro is None:
        return int(np.count_nonzero(chosen[inside]))
    return _whole(int(traffic.weight_micro[inside][chosen[inside]].sum()))


def _whole(micro: int) -> int:
    """Millionths of a call as a whole number of calls."""
    return round(Fraction(micro, MICRO))


def _twelve(amount: float | None) -> str | None:
    """An estimated amount for JSON."""
    return None if amount is None else usd(Decimal(repr(round(amount, 12))))


def _usd(pico: int, priced: int) -> str | None:
    """An amount for JSON; null where no call has a price."""
    return usd(dollars(pico)) if priced else None
