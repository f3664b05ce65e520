"""A scenario worked out on a store: the bill to come with its growth and prices, and what could be bought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from analysis.forecast.bill_forecast import BillForecast, bill_forecast
from ingest.store.database import Store
from replay.scenario import commitments, model_moves
from replay.scenario.commitments import Commitment
from replay.scenario.model_moves import Move
from replay.scenario.schema import PriceChange, Scenario
from replay.scenario.window import Window, window
from replay.stages.rule_evaluation import glob


@dataclass(frozen=True)
class Outcome:
    """The forecast under the scenario, beside the forecast where nothing changes (the same where nothing is stated)."""

    scenario: Scenario
    unchanged: BillForecast
    forecast: BillForecast
    commitments: tuple[Commitment, ...] = ()
    moves: tuple[tuple[Move, ...], ...] = ()  # one list per model of the scenario

    def sentences(self) -> list[str]:
        """What could be bought or moved, one sentence each."""
        said = [one.sentence for one in self.commitments]
        for asked, rows in zip(self.scenario.models, self.moves, strict=True):
            said.append(model_moves.in_words(list(rows), asked.model))
        return said

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast forecast --json`."""
        return {
            **self.forecast.to_json(),
            "scenario": self.scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "unchanged": [one.to_json() for one in self.unchanged.periods],
            "commitments": [one.to_json() for one in self.commitments],
            "moves": [row.to_json() for rows in self.moves for row in rows],
        }


def work_out(store: Store, scenario: Scenario) -> Outcome:
    """The scenario on the calls of a store. Raises InputError where no whole day has a price."""
    unchanged = bill_forecast(store)
    growth = scenario.growth_per_day()
    bought = bool(scenario.throughput or scenario.batch or scenario.seats or scenario.models or scenario.prices)
    logged = window(store, *unchanged.basis, growth) if bought else None
    factor = _prices(logged, scenario.prices) if logged and scenario.prices else None
    changed = growth is not None or factor is not None
    found: list[Commitment] = []
    moved: list[tuple[Move, ...]] = []
    if logged is not None:
        found += [commitments.provisioned(logged, one) for one in scenario.throughput]
        found += [commitments.batched(logged, one) for one in scenario.batch]
        found += [commitments.seated(logged, one) for one in scenario.seats]
        moved += [tuple(model_moves.moves(store, logged, one)) for one in scenario.models]
    return Outcome(
        scenario,
        unchanged,
        bill_forecast(store, growth=growth, factor=factor) if changed else unchanged,
        tuple(found),
        tuple(moved),
    )


def _prices(logged: Window, changes: tuple[PriceChange, ...]) -> Callable[[date], float]:
    """What a day's prices are to those of the log: the calls of the window at the announced prices."""
    whole = float(logged.usd.sum())
    parts = [(change.since, _less(logged, change) / whole if whole else 0.0) for change in changes]

    def factor(day: date) -> float:
        return max(1.0 + sum(part for since, part in parts if day >= since), 0.0)

    return factor


def _less(logged: Window, change: PriceChange) -> float:
    """Dollars that the calls of the window cost more at the announced price (negative: less)."""
    pattern = glob(change.model)
    fits = [bool(pattern.match(name or "")) for _, name in logged.traffic.models]
    calls = np.array(fits, bool)[logged.traffic.model] & logged.priced
    usd = float(logged.usd[calls].sum())
    if change.change is not None:
        return usd * change.change
    read = logged.tokens("cache_read")[calls]
    fresh = np.maximum(logged.tokens("input")[calls] - read, 0)
    output = logged.tokens("output")[calls]
    input_usd, output_usd = change.input or 0.0, change.output or 0.0
    cached_usd = input_usd if change.cache_read is None else change.cache_read
    return float((fresh * input_usd + read * cached_usd + output * output_usd).sum()) / 1e6 - usd
