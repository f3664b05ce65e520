"""The requests of the traffic as a strategy's changes of prompts and its compressors rewrite them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from replay.engine.shared_results import Shared
from replay.response_cache import stage as cache_stage
from replay.stages import compression, prompt_changes
from replay.strategy.schema import REWRITING, Strategy
from replay.traffic.prompts import Prompts
from replay.traffic.traffic import Int64, Traffic

Stages = frozenset[str]


@dataclass(frozen=True)
class RewrittenRequests:
    """The requests of one strategy. `logged` loads them as logged, once it is called."""

    traffic: Traffic
    strategy: Strategy
    shared: Shared
    logged: Callable[[], Prompts]

    @property
    def reworded(self) -> prompt_changes.Reworded:
        """All requests after the file's changes of prompts."""
        return self.shared.once(
            ("reworded", self._spec("prompts")),
            lambda: prompt_changes.reword(self.logged(), self.strategy.prompts, compression.calls_of(self.traffic)),
        )

    @property
    def compressed(self) -> compression.Compressed:
        """All requests after the file's changes of prompts and its compressors."""
        return self.compressed_after(frozenset(self.strategy.stages()))

    def compressed_after(self, on: Stages) -> compression.Compressed:
        """All requests after the file's compressors, which see the changed prompts where `on` has them."""
        before = on & {"prompts"}
        return self.shared.once(
            ("compressed", self._spec("compress"), before and self._spec("prompts")),
            lambda: compression.compress(self.prompts(before), self.strategy.compress, self.traffic),
        )

    def prompts(self, on: Stages) -> Prompts:
        """The requests as the stages of `on` rewrite them."""
        if "compress" in on:
            return self.compressed_after(on).prompts
        return self.reworded.prompts if "prompts" in on else self.logged()

    def _spec(self, stage: str) -> str:
        return json.dumps([part.model_dump(mode="json") for part in getattr(self.strategy, stage)], sort_keys=True)

    def input_tokens(self, on: Stages, bound: str) -> Int64:
        """Input tokens in the logged model's own count, after the stages that rewrite the request."""
        tokens = self.traffic.usage.input
        if not on & REWRITING:
            return tokens
        delta = self.reworded.token_delta if "prompts" in on else np.int64(0)
        if "compress" in on:
            delta = delta + self.compressed_after(on).delta(bound)
        return np.where(tokens < 0, tokens, np.maximum(tokens + delta, 0))

    def keys(self, on: Stages) -> Int64:
        """The cache key of each rewritten request."""
        specs = tuple(self._spec(stage) for stage in sorted(on & REWRITING))
        return self.shared.once(
            ("keys", on & REWRITING, *specs),
            lambda: cache_stage.compressed_keys(self.traffic, self.logged(), self.prompts(on)),
        )
