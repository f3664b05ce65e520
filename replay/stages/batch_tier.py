"""Calls that can wait: the batch and flex tiers, where the price book has them for the serving model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.price_book import vocabulary
from analysis.pricing import rate_table
from replay.stages import rule_evaluation

if TYPE_CHECKING:
    from replay.strategy.schema import Strategy
    from replay.traffic.call_rates import CallRates
    from replay.traffic.traffic import Traffic


def tiers(wanted: NDArray[np.int8], traffic: Traffic, rates: CallRates, model: NDArray[np.int32]) -> NDArray[np.int8]:
    """The service tier of each call (index into pricing.TIERS) where `asked` wants another.

    A call keeps its logged tier where no rule fits, or where the book has no price of that tier for its model.
    """
    chosen = np.flatnonzero(wanted >= 0)
    sold = chosen[_sold(rates, model[chosen], traffic.start_ms[chosen], wanted[chosen])]
    tier = traffic.tier.copy()
    tier[sold] = wanted[sold]
    return tier


def asked(strategy: Strategy, traffic: Traffic) -> NDArray[np.int8]:
    """The tier that the first rule which fits a call asks for; -1 where none fits."""
    tier = np.full(len(traffic), -1, np.int8)
    frame = traffic.rule_frame(rule_evaluation.columns_of(strategy.batch))
    for part, mask in zip(strategy.batch, rule_evaluation.masks(strategy.batch, frame), strict=True):
        tier[mask & (tier < 0)] = vocabulary.TIERS.index(part.tier)
    if strategy.batch and traffic.side is not None:
        tier[traffic.side] = -1
    return tier


def _sold(
    rates: CallRates, model: NDArray[np.int32], start_ms: NDArray[np.int64], tier: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """Whether the book has a price of each call's tier for its model on its day."""
    one = np.ones(len(model), np.int64)
    usage = rate_table.Usage(model=model, start_ms=start_ms, input=one, output=one, tier=tier)
    return np.asarray(rates.price(usage).total != vocabulary.UNPRICED)
