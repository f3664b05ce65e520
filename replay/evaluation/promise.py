"""What a strategy was expected to do before it was rolled out, from the days before alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import numpy as np

from analysis.price_book import vocabulary
from ingest.errors import StoreError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.evaluation.backtest import Bools, Int64
from replay.evaluation.rollout_log import Log
from replay.evaluation.unit_table import CONTROL, TREATED, Floats
from replay.rollout.assignment import draws
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import Int32

LEAST_UNITS: Final = 30


@dataclass(frozen=True)
class Promise:
    """What the strategy was expected to do on the days before the rollout, by them alone; arrays as the whole log's.

    `calls` is how many calls each logged one was expected to become, `model` an index into `models`, names.
    """

    cost: Int64
    calls: Floats
    hit: Bools
    model: Int64
    models: list[str]
    drawn: Bools  # calls whose units stand for the treated


def promised(store: Store, strategy: Strategy, log: Log, *, rollout: date, since: date | None) -> Promise:
    """Replay the days before the rollout as if no other had come: what the days after it show is not foreseen."""
    traffic = load(store, since=since, until=rollout - timedelta(days=1), key_policy=log.traffic.key_policy)
    number, whole = len(traffic), len(log.traffic)
    if not np.array_equal(traffic.call_no, log.traffic.call_no[:number]):
        raise StoreError("the store changed while it was read", remedy="Run the command again.")
    drawn = _drawn(strategy, log)
    if strategy.cache is not None:
        traffic = replace(traffic, key=_as_rolled_out(traffic.key, traffic.day, drawn[:number], log))
    engine = Engine(traffic, strategy)
    outcome = engine.evaluate(engine.everything)
    cost = np.full(whole, vocabulary.UNPRICED)
    cost[:number] = outcome.cost_pico
    calls = np.ones(whole)
    more = outcome.side_pico.get("behaviour")
    if more is not None:
        base = outcome.cost_pico - more
        calls[:number] = np.where((more != 0) & (base > 0), outcome.cost_pico / np.where(base > 0, base, 1), 1.0)
    hit = np.zeros(whole, np.bool_)
    hit[:number] = outcome.served_by_us
    model = np.zeros(whole, np.int64)
    model[:number] = outcome.model
    return Promise(cost, calls, hit, model, [str(name) for _, name in engine.models], drawn)


def _drawn(strategy: Strategy, log: Log) -> Bools:
    """The calls of the units that are replayed as treated: as large a share of those before as was treated after.

    Caches are why: those who are held back leave no answers for others. Without a cache units do not feel each other,
    and all of them tell more than some.
    """
    arm = log.arms.of_call[log.units.first]
    treated, control = int((arm == TREATED).sum()), int((arm == CONTROL).sum())
    before = int((~log.after[log.units.first]).sum())
    if strategy.cache is None or not control or treated * before < LEAST_UNITS * (treated + control):
        return np.ones(len(log.traffic), np.bool_)
    share = treated / (treated + control)
    chosen = draws((str(number) for number in range(len(log.units))), 0) < share
    return np.asarray(chosen[log.units.of_call], np.bool_)


def _as_rolled_out(key: Int32, day: Int32, drawn: Bools, log: Log) -> Int32:
    """The requests' keys: none for units that are not drawn, and others in each spell of as many days as the rollout
    has lasted, counted back from it.

    A rollout begins with an empty cache. So does each spell of the replay: else the days before, where they are more,
    would promise the hits of a cache that has been filled for longer.
    """
    lasted = int(log.traffic.day[-1]) - log.day + 1
    if not len(key) or lasted < 1:
        return key
    spell = (log.day - 1 - day.astype(np.int64)) // lasted
    own = key.astype(np.int64) * (int(spell.max()) + 1) + spell
    return np.where((key < 0) | ~drawn, -1, np.unique(own, return_inverse=True)[1]).astype(key.dtype)
