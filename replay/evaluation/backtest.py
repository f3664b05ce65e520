"""Would we have been right: forecast on the days before a split, set beside what the days after it really brought.

The forecast sees only the days before the split: each segment's cost under the strategy per logged dollar. It is
applied to the logged bill of the later days and compared with the replay of those very days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.formatting import count, money, share, usd
from analysis.money import dollars
from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.outcome import Outcome
from replay.engine.quality_evidence import evidence_for
from replay.evaluation import cost_forecast
from replay.quality.gate import QualityReport, assess
from replay.quality.scores import Priors, Scores
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import EPOCH, Traffic

Bools = NDArray[np.bool_]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Backtest:
    """Forecast and realised cost of a strategy on the held-out days, in pico-dollars."""

    name: str
    split: date
    known_days: int
    test_days: int
    logged_pico: int
    forecast_pico: int
    low_pico: int
    high_pico: int
    realised_pico: int
    new_segments: tuple[str, ...]
    expected_quality: QualityReport
    realised_quality: QualityReport
    daily: tuple[tuple[date, int, int, int], ...]  # day, logged, forecast, realised

    @property
    def inside(self) -> bool:
        """Whether the realised cost is in the interval."""
        return self.low_pico <= self.realised_pico <= self.high_pico

    @property
    def error(self) -> float | None:
        """Realised over forecast, minus one."""
        return self.realised_pico / self.forecast_pico - 1 if self.forecast_pico else None

    @property
    def summary(self) -> str:
        """Whether the forecast held, in a sentence."""
        forecast, low, high, realised = (
            money(dollars(amount)) for amount in (self.forecast_pico, self.low_pico, self.high_pico, self.realised_pico)
        )
        words = "inside" if self.inside else "outside"
        return (
            f"{self.name}: forecast {forecast} for {count(self.test_days, 'held-out day')} ({low} to {high}), "
            f"realised {realised}: {words} its 90 % interval ({share(self.error or 0, sign=True)})."
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "split": self.split.isoformat(),
            "known_days": self.known_days,
            "test_days": self.test_days,
            "logged_usd": usd(dollars(self.logged_pico)),
            "forecast_usd": usd(dollars(self.forecast_pico)),
            "forecast_low_usd": usd(dollars(self.low_pico)),
            "forecast_high_usd": usd(dollars(self.high_pico)),
            "realised_usd": usd(dollars(self.realised_pico)),
            "inside": self.inside,
            "error": self.error,
            "new_segments": list(self.new_segments),
            "quality": {"forecast": self.expected_quality.to_json(), "realised": self.realised_quality.to_json()},
            "daily": [
                {
                    "day": day.isoformat(),
                    "logged_usd": usd(dollars(logged)),
                    "forecast_usd": usd(dollars(forecast)),
                    "realised_usd": usd(dollars(realised)),
                }
                for day, logged, forecast, realised in self.daily
            ],
        }


def backtest(
    store: Store,
    strategy: Strategy,
    *,
    split: date,
    since: date | None = None,
    until: date | None = None,
    priors: Priors | None = None,
) -> Backtest:
    """Forecast the days from `split` on from the days before it. Raises InputError where either side has no calls."""
    traffic = load(store, since=since, until=until, key_policy=strategy.cache.key if strategy.cache else "canonical")
    engine = Engine(traffic, strategy, evidence=traffic.day < (split - EPOCH).days)
    outcome = engine.evaluate(engine.everything)
    known, test = sides(traffic, outcome, split)
    segment, names = segments(traffic)
    logged = traffic.cost.astype(np.float64)
    cost = outcome.cost_pico.astype(np.float64)
    past = cost_forecast.history(
        traffic.day[known].astype(np.int64),
        sessions(traffic)[known],
        segment[known],
        cost[known],
        logged[known],
        len(names),
    )
    volume = np.bincount(segment[test], weights=logged[test], minlength=len(names))
    days = np.unique(traffic.day[test])
    expected = cost_forecast.forecast(past, volume)
    low, high = cost_forecast.spread(past, len(days), volume=volume)
    daily = []
    for day in days.tolist():
        mine = test & (traffic.day == day)
        of_day = np.bincount(segment[mine], weights=logged[mine], minlength=len(names))
        told = cost_forecast.forecast(past, of_day)
        daily.append(
            (
                EPOCH + timedelta(days=day),
                int(traffic.cost[mine].sum()),
                round(told),
                int(outcome.cost_pico[mine].sum()),
            )
        )
    seen = np.bincount(segment[known], minlength=len(names)) > 0
    return Backtest(
        name=strategy.name,
        split=split,
        known_days=past.days,
        test_days=len(days),
        logged_pico=int(traffic.cost[test].sum()),
        forecast_pico=round(expected),
        low_pico=round(expected * low),
        high_pico=round(expected * high),
        realised_pico=int(outcome.cost_pico[test].sum()),
        new_segments=tuple(names[i] for i in np.flatnonzero(~seen & (volume > 0))),
        expected_quality=judged(engine, known, priors),
        realised_quality=judged(engine, test, priors),
        daily=tuple(daily),
    )


def sides(traffic: Traffic, outcome: Outcome, split: date) -> tuple[Bools, Bools]:
    """The priced calls of the window before the split and from it on. Raises InputError if one side is empty."""
    priced = traffic.window & (traffic.cost != vocabulary.UNPRICED) & (outcome.cost_pico != vocabulary.UNPRICED)
    after = traffic.day >= (split - EPOCH).days
    known, test = priced & ~after, priced & after
    for side, words in ((known, "before"), (test, "from")):
        if not side.any():
            raise InputError(
                f"no priced calls {words} {split}", remedy="Choose a day inside the log: hindcast cost --by day"
            )
    return known, test


def segments(traffic: Traffic) -> tuple[Int64, list[str]]:
    """(agent, task) of each call as a dense code, and the names of the codes."""
    width = len(traffic.tasks)
    used, code = np.unique(traffic.agent.astype(np.int64) * width + traffic.task, return_inverse=True)
    names = [f"{traffic.agents[int(p) // width] or '-'} / {traffic.tasks[int(p) % width] or '-'}" for p in used]
    return code.astype(np.int64), names


def sessions(traffic: Traffic) -> Int64:
    """A dense session number per call; a call without a conversation is a session of its own."""
    label = traffic.rule_frame(["conversation_id"])["conversation_id"]
    rank = label.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return np.where(label.is_null().to_numpy(), int(rank.max(initial=0)) + 1 + np.arange(len(rank)), rank)


def judged(engine: Engine, side: Bools, priors: Priors | None) -> QualityReport:
    """The verdict on one side of the split, from the scores of its own calls alone."""
    evidence = evidence_for(engine, priors)
    found = evidence.scores
    mine = side[found.call]
    return assess(
        replace(
            evidence,
            demand=replace(evidence.demand, counted=evidence.demand.counted & side),
            scores=Scores(found.call[mine], found.model[mine], found.score[mine]),
        )
    )
