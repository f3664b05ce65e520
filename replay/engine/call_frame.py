"""What one strategy would have done to each call: the serving model, the caches' outcome, tokens and cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from analysis.money import PICO
from analysis.price_book.vocabulary import TIERS, UNKNOWN
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.outcomes import BYPASSED, COALESCED, EXPIRED, HIT, MAX_TIERS, MISS
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import MICRO, Bool, Int8, Int32, Int64

OUTCOMES: Final = ("miss", "hit", "coalesced", "expired", "bypassed")


def replay_calls(
    store: Store, strategy: Strategy, *, since: date | None = None, until: date | None = None, cold: bool = False
) -> pl.DataFrame:
    """`call_frame` of one strategy over the window [since, until] (UTC days, inclusive), as `replay.engine.run.run`.

    Raises StrategyError and StoreError as `run` does.
    """
    policy = strategy.cache.key if strategy.cache else "canonical"
    return call_frame(Engine(load(store, since=since, until=until, key_policy=policy, cold=cold), strategy))


def call_frame(engine: Engine) -> pl.DataFrame:
    """One row per call of the window, in the order of (start_time, source, row), under the whole strategy.

    Columns: `call_no` Int64, the call's number in the store (tables `calls` and `ledger`); `start_time` Datetime in
    microseconds, UTC, whole milliseconds; `agent`, `task` String; `logged_provider`, `logged_model`, `logged_tier`
    String, as logged, and `provider`, `model`, `tier` String, as the strategy has it; `outcome` String at the
    strategy's caches: miss, hit, coalesced (waited for an equal call in flight), expired (a miss whose answer had
    outlived its time to live) or bypassed (no lookup: no cache, a retry, no key, excluded by rule); `cache_tier`
    String, the name of the tier that served a hit; `logged_input_tokens`, `logged_cached_tokens`,
    `logged_output_tokens` Int64, and `input_tokens`, `cached_tokens` (read from the provider's prompt cache),
    `output_tokens` Int64 of the request as the strategy would send it, also where a cache answers in its stead;
    `logged_cost_usd`, `cost_usd`, `side_cost_usd` Decimal(38, 12), the last being the part of `cost_usd` that routing
    itself costs (classifier, cascade, on_error, rework); `weight` Float64, the calls that the row stands for.

    Null is not known. The costs are null unless the call has a price both as logged and under the strategy with any
    of its stages off, so `cost_usd` sums to the cost of the strategy's result, and `logged_cost_usd` to its baseline.
    """
    traffic, outcome = engine.traffic, engine.evaluate(engine.everything)
    rows = np.flatnonzero(traffic.window)
    known = engine.comparable[rows]
    caches = engine.strategy.cache.tiers if engine.strategy.cache else ()
    side = sum(outcome.side_pico.values(), np.zeros(len(traffic), np.int64))
    cached = np.full(len(traffic), UNKNOWN) if outcome.cached_tokens is None else outcome.cached_tokens
    providers = [provider for provider, _ in engine.models]
    models = [model for _, model in engine.models]
    return pl.DataFrame(
        [
            pl.Series("call_no", traffic.call_no[rows]),
            pl.Series("start_time", traffic.start_ms[rows] * 1000).cast(pl.Datetime("us")),
            _names("agent", traffic.agent[rows], traffic.agents),
            _names("task", traffic.task[rows], traffic.tasks),
            _names("logged_provider", traffic.model[rows], providers),
            _names("logged_model", traffic.model[rows], models),
            _names("logged_tier", traffic.tier[rows], TIERS),
            _names("provider", outcome.model[rows], providers),
            _names("model", outcome.model[rows], models),
            _names("tier", outcome.tier[rows], TIERS),
            _names("outcome", _outcome_index(outcome.codes[rows]), OUTCOMES),
            _names("cache_tier", outcome.codes[rows] - np.int8(HIT), [tier.name for tier in caches]),
            _tokens("logged_input_tokens", traffic.tokens("input")[rows]),
            _tokens("logged_cached_tokens", traffic.tokens("cache_read")[rows]),
            _tokens("logged_output_tokens", traffic.tokens("output")[rows]),
            _tokens("input_tokens", outcome.input_tokens[rows]),
            _tokens("cached_tokens", cached[rows]),
            _tokens("output_tokens", outcome.output_tokens[rows]),
            _usd("logged_cost_usd", traffic.cost[rows], known),
            _usd("cost_usd", outcome.cost_pico[rows], known),
            _usd("side_cost_usd", side[rows], known),
            pl.Series("weight", traffic.weight_micro[rows] / MICRO),
        ]
    )


def _outcome_index(codes: Int8) -> Int8:
    """Codes of replay.outcomes as indices into OUTCOMES."""
    index = np.zeros(128, np.int8)
    index[[MISS, COALESCED, EXPIRED, BYPASSED]] = [0, 2, 3, 4]
    index[HIT : HIT + MAX_TIERS] = 1
    return index[codes]


def _names(name: str, index: Int8 | Int32, names: Sequence[str | None]) -> pl.Series:
    """`names` at `index` as strings; null where the index is outside them."""
    inside = np.where((index >= 0) & (index < len(names)), index, len(names))
    return pl.Series(name, [*names, None], dtype=pl.String).gather(inside).alias(name)


def _tokens(name: str, counts: Int64) -> pl.Series:
    """Token counts; null where negative (pricing.UNKNOWN)."""
    return pl.Series(name, counts).to_frame().select(pl.when(pl.col(name) >= 0).then(pl.col(name))).to_series()


def _usd(name: str, pico: Int64, known: Bool) -> pl.Series:
    """Pico-dollars as Decimal(38, 12) dollars; null where not `known`."""
    amounts = pl.DataFrame({name: pico, "known": known})
    return amounts.select(pl.when("known").then(pl.col(name).cast(pl.Decimal(38, 12)) / PICO).alias(name)).to_series()
