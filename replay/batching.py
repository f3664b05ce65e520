"""Calls that can wait: the batch and flex tiers, where the price book has them for the serving model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis import pricing
from replay import rules

if TYPE_CHECKING:
    from replay.strategy import Strategy
    from replay.traffic import Traffic


def tiers(strategy: Strategy, traffic: Traffic, rates: pricing.RateTable, model: NDArray[np.int32]) -> NDArray[np.int8]:
    """The service tier of each call (index into pricing.TIERS): as the first batch rule that fits it says.

    A call keeps its logged tier where no rule fits, or where the book has no price of that tier for its model.
    """
    tier = traffic.tier.copy()
    free = np.ones(len(tier), bool)
    frame = traffic.rule_frame(rules.columns_of(strategy.batch))
    for part, mask in zip(strategy.batch, rules.masks(strategy.batch, frame), strict=True):
        number = pricing.TIERS.index(part.tier)
        sold = np.array([_sold(rates, index, number) for index in range(int(model.max(initial=-1)) + 1)], bool)
        chosen = mask & free
        free &= ~mask
        chosen[chosen] = sold[model[chosen]]
        tier[chosen] = number
    return tier


def _sold(rates: pricing.RateTable, model: int, tier: int) -> bool:
    """Whether the book has any price of this tier for this model."""
    place = model * len(pricing.TIERS) + tier
    return bool(rates.first[place + 1] > rates.first[place])
