"""The provider's own prompt cache in a counterfactual: what stays cached when prompts, models or traffic change.

The simulator runs on the logged and on the counterfactual traffic, and only the difference is applied: a call that
keeps its model gets `logged + simulated now - simulated as logged`, so unchanged traffic keeps exactly its logged
tokens. A routed call has no logged tokens of its new model: it gets the simulation times the provider's calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np

from replay import prompt_cache, prompt_cache_rules
from replay.lengths import Pairs
from replay.prompt_loader import chain_encoding
from replay.prompts import Prompts
from replay.strategy import ProviderCache
from replay.traffic import EPOCH, Bool, Int32, Int64, Traffic

Tokens = Int64 | None
LEAST_EVIDENCE = 100  # simulated cached tokens x calls below which a provider is not calibrated


@dataclass
class ProviderStage:
    """Simulates the providers' caches for one traffic; what the logged side needs is computed once.

    `made` may be shared by all strategies over that traffic.
    """

    traffic: Traffic
    models: Pairs
    prompts: Callable[[], Prompts]
    made: dict[object, Any] = field(default_factory=dict, repr=False)

    def _rules_of(self, model: Int32) -> tuple[Int32, tuple[prompt_cache.PromptCacheRule, ...]]:
        """Each call's dated rule under `model`; a rule that has to be asked for holds where the log shows its use."""
        cell = self._cells(model)
        rules = prompt_cache_rules.rules()
        table = np.full(len(self.models) * self._days, -1, np.int32)
        for place, rule in self._dated_rules(cell):
            table[place] = rules.index(rule)
        return table[cell], rules

    def _cells(self, model: Int32) -> Int32:
        """The number of each call's (model, day)."""
        if not len(model):
            return np.zeros(0, np.int32)
        return model * np.int32(self._days) + (self.traffic.day - self.traffic.day[0])

    @property
    def _days(self) -> int:
        day = self.traffic.day
        return int(day[-1] - day[0]) + 1 if len(day) else 1

    def _dated_rules(self, cell: Int32) -> Iterator[tuple[int, prompt_cache.PromptCacheRule]]:
        """The (model, day) cells that have calls and a rule."""
        for place in np.flatnonzero(np.bincount(cell, minlength=1)).tolist():
            provider, name = self.models[place // self._days]
            rule = prompt_cache.rule_for(
                provider, name, EPOCH + timedelta(int(self.traffic.day[0]) + place % self._days)
            )
            if rule is not None and (self._log_shows_use or not rule.opt_in):
                yield place, rule

    @cached_property
    def _log_shows_use(self) -> bool:
        return any(column is not None and bool((column > 0).any()) for column in self._logged)

    @property
    def _logged(self) -> tuple[Tokens, Tokens]:
        return self.traffic.usage.cache_read, self.traffic.usage.cache_write

    def needed(self, model: Int32) -> bool:
        """Whether any call had a prompt cache on its day, under its logged model or under `model`."""
        return self._logged_needs or any(True for _ in self._dated_rules(self._cells(model)))

    @cached_property
    def _logged_needs(self) -> bool:
        return any(True for _ in self._dated_rules(self._cells(self.traffic.model)))

    @property
    def _simulated_as_logged(self) -> tuple[Int64, Int64]:
        if "logged" not in self.made:
            alive = ~self.traffic.gateway_hit
            self.made["logged"] = self._simulate(self.prompts(), self.traffic.model, alive, self.traffic.usage.input)
        found: tuple[Int64, Int64] = self.made["logged"]
        return found

    def _simulate(self, prompts: Prompts, model: Int32, alive: Bool, input_tokens: Int64) -> tuple[Int64, Int64]:
        rule, rules = self._rules_of(model)
        found = prompt_cache.simulate(
            self._chains(prompts),
            scope=model,
            start_ms=self.traffic.start_ms,
            alive=alive,
            rule=rule,
            rules=rules,
            input_tokens=input_tokens,
        )
        return found.cached_tokens, found.written_tokens

    def _chains(self, prompts: Prompts) -> prompt_cache.BlockChains:
        if id(prompts) not in self.made:
            chains = prompt_cache.block_chains(prompts, chain_encoding(prompts.contents))
            self.made[id(prompts)] = (prompts, chains)  # the prompts too, so that their id stays theirs
        found: prompt_cache.BlockChains = self.made[id(prompts)][1]
        return found

    def tokens(
        self,
        *,
        on: frozenset[str],
        mode: ProviderCache,
        prompts: Callable[[], Prompts],
        model: Int32,
        alive: Bool,
        input_tokens: Int64,
        bound: str,
    ) -> tuple[Tokens, Tokens]:
        """(cache reads, cache writes) per call with the stages of `on`; the logged columns where nothing can change.

        `alive`: the call reaches the provider. `bound` low takes the cheaper end, high the dearer one.
        """
        usage = self.traffic.usage
        moved = model != self.traffic.model
        switched = mode.mode if "provider_cache" in on else "auto"
        changes = bool(moved.any()) or "compress" in on or bool((alive != ~self.traffic.gateway_hit).any())
        if switched == "auto" and not changes:
            return usage.cache_read, usage.cache_write
        if switched == "off":
            nothing = np.zeros(len(self.traffic), np.int64)
            return nothing, nothing
        if not self.needed(model):
            if not moved.any() or (usage.cache_read is None and usage.cache_write is None):
                return usage.cache_read, usage.cache_write
            return self._zero_where(moved, usage.cache_read), self._zero_where(moved, usage.cache_write)
        read_before, write_before = self._simulated_as_logged
        read_now, write_now = self._simulate(prompts(), model, alive, input_tokens)
        read = self._combine(usage.cache_read, read_before, read_now, moved, bound)
        read = np.where(read < 0, read, np.minimum(read, np.maximum(input_tokens, 0)))
        write = self._combine(usage.cache_write, write_before, write_now, moved, bound)
        write = np.where(write < 0, write, np.minimum(write, np.maximum(input_tokens, 0) - np.maximum(read, 0)))
        return read, write

    def _combine(self, logged: Tokens, before: Int64, now: Int64, moved: Bool, bound: str) -> Int64:
        """Kept calls: the logged count plus the simulated change. Moved calls: the simulation, calibrated."""
        known = np.full(len(before), -1, np.int64) if logged is None else logged
        kept = np.where(known < 0, known, np.maximum(known + now - before, 0))
        if not moved.any():
            return kept
        low, mid, high = self.calibration
        factor = {"low": high, "mid": mid, "high": low}[bound]
        return np.where(moved, (now * factor).astype(np.int64), kept)

    @cached_property
    def calibration(self) -> tuple[float, float, float]:
        """Logged over simulated cached tokens: (lowest, whole, highest) over the days; (0, 1, 1) without evidence."""
        logged = self.traffic.usage.cache_read
        before = self._simulated_as_logged[0]
        if logged is None:
            return 0.0, 1.0, 1.0
        known = logged >= 0
        if before[known].sum() < LEAST_EVIDENCE:
            return 0.0, 1.0, 1.0
        _, day = np.unique(self.traffic.day, return_inverse=True)
        actual = np.bincount(day[known], weights=logged[known])
        simulated = np.bincount(day[known], weights=before[known])
        ratio = np.clip(actual[simulated > 0] / simulated[simulated > 0], 0, 1)
        whole = min(float(logged[known].sum() / before[known].sum()), 1.0)
        return min(float(ratio.min()), whole), whole, max(float(ratio.max()), whole)

    def _zero_where(self, moved: Bool, logged: Tokens) -> Tokens:
        return None if logged is None else np.where(moved, 0, logged)

    def limits(self, model: Int32) -> Iterator[str]:
        """What the simulation of the providers' caches assumes."""
        if not self.needed(model):
            return
        textless = self.traffic.window & (np.diff(self.prompts().offsets) == 0)
        if textless.any():
            yield f"the prompt cache of {int(textless.sum()):,} calls without text or hashes is taken as logged"
        low, mid, high = self.calibration
        if (model != self.traffic.model).any() and (low, mid, high) == (0.0, 1.0, 1.0):
            yield "the prompt cache of a routed call is simulated, and the log has no cached tokens to check it against"
