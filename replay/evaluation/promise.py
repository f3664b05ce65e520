"""What a strategy was expected to do before it was rolled out, from the days before alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from analysis.price_book import vocabulary
from ingest.errors import StoreError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.evaluation.backtest import Bools, Int64
from replay.evaluation.rollout_log import Log
from replay.evaluation.unit_table import Floats
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load


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


def promised(store: Store, strategy: Strategy, log: Log, *, rollout: date, since: date | None) -> Promise:
    """Replay the days before the rollout as if no other had come: what the days after it show is not foreseen."""
    traffic = load(store, since=since, until=rollout - timedelta(days=1), key_policy=log.traffic.key_policy)
    number, whole = len(traffic), len(log.traffic)
    if not np.array_equal(traffic.call_no, log.traffic.call_no[:number]):
        raise StoreError("the store changed while it was read", remedy="Run the command again.")
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
    return Promise(cost, calls, hit, model, [str(name) for _, name in engine.models])
