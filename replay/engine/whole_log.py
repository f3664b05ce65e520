"""What a part of a log must be told of the whole: whatever stages estimate from all calls together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replay.estimates.behaviour import Move
from replay.estimates.input_token_ratios import InputRatios
from replay.provider_cache.check import CheckPlan
from replay.provider_cache.stage import WholeCaches
from replay.strategy.schema import Strategy


@dataclass(frozen=True)
class WholeLog:
    """For one strategy. With it, a part of the calls comes out call by call as it does within the whole."""

    strategy: Strategy  # with the answer lengths and the rework that the whole log shows
    ratios: InputRatios  # how models count the same prompt
    calls: int
    moves: Mapping[int, Move] = field(default_factory=dict)  # what moved calls are expected to become, by Move.code
    caches: WholeCaches | None = None  # of the providers, where they serve the calls
    check: CheckPlan | None = None  # of their simulation against the log, once the logged side was simulated
    span_ms: int = 0  # from the first to the last call's start
    usual_output: int = -1  # the median answer in tokens, -1 where none is known
