"""The provider's own prompt cache in a counterfactual: what stays cached when prompts, models or traffic change.

The simulator runs on the logged and on the counterfactual traffic, and only the difference is applied: a call that
keeps its model gets `logged + simulated now - simulated as logged`, so unchanged traffic keeps exactly its logged
tokens. A routed call has no logged tokens of its new model: it gets the simulation times the calibration of that model.
How far the calibration moves from day to day is the band of every result that uses the simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import formatting
from analysis.formatting import tokens
from replay.estimates.output_tokens import Pairs
from replay.provider_cache import dated_rules, simulate
from replay.provider_cache.calibration import known_cached_tokens
from replay.provider_cache.check import LoggedCaches
from replay.strategy.schema import REWRITING, ProviderCache
from replay.traffic.load_prompts import chain_encoding
from replay.traffic.prompts import Encodings, Prompts
from replay.traffic.traffic import EPOCH, Bool, Int32, Int64, Traffic

Float = NDArray[np.float64]
Tokens = Int64 | None
NAMED = 3  # models that are told of one by one
LEAST_EVIDENCE = 100  # simulated cached tokens x calls below which a provider is not calibrated


@dataclass(frozen=True)
class Calibration:
    """Logged over simulated cached tokens, over models: of the whole log, and of the lowest and the highest day."""

    low: Float
    mid: Float
    high: Float
    known: tuple[bool, ...]  # whether the model has evidence of its own

    @property
    def least(self) -> Float:
        """The least that a simulated change of a kept call's tokens is believed to be, as a share of it."""
        return np.minimum(self.low, 1.0)


@dataclass(frozen=True)
class Check:
    """Cached tokens of one model: as logged, and as the rules alone foresee them. The factors are of Calibration."""

    provider: str | None
    model: str | None
    logged: int
    simulated: int
    low: float
    mid: float
    high: float

    def sentence(self) -> str:
        """One line for people."""
        return (
            f"prompt cache of {self.model}: the rules foresee {tokens(self.simulated)} cached tokens where"
            f" {tokens(self.logged)} are logged; corrected by {self.mid:.2f}, and by"
            f" {self.low:.2f}-{self.high:.2f}, its lowest and highest day, in the range"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "model": self.model,
            "logged_tokens": self.logged,
            "predicted_tokens": self.simulated,
            "factor": self.mid,
            "factor_low": self.low,
            "factor_high": self.high,
        }


@dataclass(frozen=True)
class WholeCaches:
    """What a part of a log must be told of the providers' caches in the whole."""

    first_use: int  # the first day that shows that prompt caches were asked for
    logged: bool  # whether any call had a prompt cache under its logged model
    served: bool  # the same under the models that serve
    encodings: Encodings
    calibration: Calibration | None = None  # None while the logged side is simulated


@dataclass
class ProviderStage:
    """Simulates the providers' caches for one traffic; what the logged side needs is computed once.

    `made` may be shared by all strategies over that traffic.
    """

    traffic: Traffic
    models: Pairs
    prompts: Callable[[], Prompts]
    made: dict[object, Any] = field(default_factory=dict, repr=False)
    used: bool = field(default=False, init=False)  # whether some result rests on the simulation
    whole: WholeCaches | None = None  # where the traffic is a part of a log
    told: LoggedCaches | None = field(default=None, init=False)  # what the parts of the traffic found

    def _rules_of(self, model: Int32) -> tuple[Int32, tuple[simulate.PromptCacheRule, ...]]:
        """Each call's dated rule under `model`; one that has to be asked for holds from the first day of its use."""
        from replay.kernels.common.dense_ids import pick

        cell = self._cells(model)
        rules = dated_rules.rules()
        table = np.full(len(self.models) * self._days, -1, np.int32)
        for place, rule in self._dated_rules(cell):
            table[place] = rules.index(rule)
        return pick(table, cell), rules

    def _cells(self, model: Int32) -> Int32:
        """The number of each call's (model, day)."""
        if not len(model):
            return np.zeros(0, np.int32)
        cell = model * np.int32(self._days)
        cell += self.traffic.day
        cell -= self.traffic.day[0]
        return cell

    @property
    def _days(self) -> int:
        day = self.traffic.day
        return int(day[-1] - day[0]) + 1 if len(day) else 1

    def _dated_rules(self, cell: Int32) -> Iterator[tuple[int, simulate.PromptCacheRule]]:
        """The (model, day) cells that have calls and a rule."""
        from replay.kernels.common.dense_ids import count

        for place in np.flatnonzero(count(cell, len(self.models) * self._days)).tolist():
            provider, name = self.models[place // self._days]
            day = int(self.traffic.day[0]) + place % self._days
            rule = simulate.rule_for(provider, name, EPOCH + timedelta(day))
            if rule is not None and (not rule.opt_in or day >= self._first_use):
                yield place, rule

    def has_rule(self, place: int) -> bool:
        """Whether the model at `place` has a prompt cache on some day of the traffic."""
        whole = np.full(len(self.traffic), place, np.int32)
        return any(True for _ in self._dated_rules(self._cells(whole)))

    @cached_property
    def _first_use(self) -> int:
        """The first day whose calls show that prompt caches were asked for; past the last where none does."""
        if self.whole is not None:
            return self.whole.first_use
        day = self.traffic.day
        used = [int(np.argmax(column > 0)) for column in self._logged if column is not None and (column > 0).any()]
        return int(day[min(used)]) if used else int(day[-1]) + 1 if len(day) else 0

    @property
    def _logged(self) -> tuple[Tokens, Tokens]:
        return self.traffic.usage.cache_read, self.traffic.usage.cache_write

    def needed(self, model: Int32) -> bool:
        """Whether any call had a prompt cache on its day, under its logged model or under `model`."""
        if self.whole is not None:
            return self.whole.logged or (self.whole.served and model is not self.traffic.model)
        return self.caches_logged or any(True for _ in self._dated_rules(self._cells(model)))

    @cached_property
    def caches_logged(self) -> bool:
        """Whether any call had a prompt cache on its day under its logged model."""
        if self.whole is not None:
            return self.whole.logged
        return any(True for _ in self._dated_rules(self._cells(self.traffic.model)))

    @property
    def simulated_as_logged(self) -> tuple[Int64, Int64]:
        if "logged" not in self.made:
            alive = ~self.traffic.gateway_hit
            usage = self.traffic.usage
            self.made["logged"] = self._simulate(self.prompts(), usage.model, alive, usage.input, usage.output)
        found: tuple[Int64, Int64] = self.made["logged"]
        return found

    def _simulate(
        self, prompts: Prompts, model: Int32, alive: Bool, input_tokens: Int64, output_tokens: Int64
    ) -> tuple[Int64, Int64]:
        rule, rules = self._rules_of(model)
        reasoning = self.traffic.usage.reasoning
        if reasoning is not None and model is not self.traffic.model:  # of another model's answer no thoughts are known
            reasoning = np.where(model == self.traffic.model, reasoning, 0)
        found = simulate.simulate(
            self._chains(prompts),
            scope=model,
            start_ms=self.traffic.start_ms,
            alive=alive,
            rule=rule,
            rules=rules,
            input_tokens=input_tokens,
            answer_tokens=simulate.prompted_answers(output_tokens, reasoning),
        )
        return found.cached_tokens, found.written_tokens

    @property
    def textless(self) -> Bool:
        """Calls of which the log keeps no prompt."""
        if "textless" not in self.made:
            self.made["textless"] = np.diff(self.prompts().offsets) == 0
        found: Bool = self.made["textless"]
        return found

    @property
    def textless_calls(self) -> int:
        """Calls of the window of which the log keeps no prompt."""
        return int((self.traffic.window & self.textless).sum()) if self.told is None else self.told.textless

    def whole_caches(self, served: Int32, encodings: Encodings) -> WholeCaches:
        """What the stage over a part of this traffic must be told; `served` are the models after routing."""
        calibration = None if self.told is None else self.calibration
        return WholeCaches(self._first_use, self.caches_logged, self.needed(served), encodings, calibration)

    def prepare(self) -> None:
        """Simulate the logged side now: it is the same for every strategy and needs no stage's result."""
        if self.caches_logged:
            _ = self.simulated_as_logged

    def _chains(self, prompts: Prompts) -> simulate.BlockChains:
        if id(prompts) not in self.made:
            chains = simulate.block_chains(prompts, chain_encoding(prompts.contents))
            self.made[id(prompts)] = (prompts, chains)  # the prompts too, so that their id stays theirs
        found: simulate.BlockChains = self.made[id(prompts)][1]
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
        output_tokens: Int64,
        bound: str,
    ) -> tuple[Tokens, Tokens]:
        """(cache reads, cache writes) per call with the stages of `on`; the logged columns where nothing can change.

        `alive`: the call reaches the provider. `bound` low takes the cheaper end, high the dearer one.
        """
        usage = self.traffic.usage
        moved = model != self.traffic.model
        switched = mode.mode if "provider_cache" in on else "auto"
        changes = bool(moved.any()) or bool(on & REWRITING) or bool((alive != ~self.traffic.gateway_hit).any())
        from replay.kernels.prompt_cache import cached_token_correction

        if switched == "auto" and not changes:
            return usage.cache_read, usage.cache_write
        if switched == "off":
            nothing = np.zeros(len(self.traffic), np.int64)
            return nothing, nothing
        if not self.needed(model):
            if not moved.any() or (usage.cache_read is None and usage.cache_write is None):
                return usage.cache_read, usage.cache_write
            return self._zero_where(moved, usage.cache_read), self._zero_where(moved, usage.cache_write)
        self.used = True
        before, now = self.simulated_as_logged, self._simulate(prompts(), model, alive, input_tokens, output_tokens)
        read = self._corrected(usage.cache_read, before[0], now[0], model, bound, input_tokens, None)
        if usage.cache_write is None and not (
            cached_token_correction.any_positive(now[1]) or cached_token_correction.any_positive(before[1])
        ):
            return read, None
        return read, self._corrected(usage.cache_write, before[1], now[1], model, bound, input_tokens, read)

    def _corrected(
        self, logged: Tokens, before: Int64, now: Int64, model: Int32, bound: str, most: Int64, taken: Tokens
    ) -> Int64:
        """Kept calls: the logged count plus the simulated change. Moved calls: the simulation, calibrated."""
        from replay.kernels.prompt_cache import cached_token_correction

        ones, none = np.ones(len(self.models)), np.empty(0, np.int64)
        gain = loss = moved = ones
        if bound != "mid" or bool((model != self.traffic.model).any()):
            band = self.calibration
            moved = {"low": band.high, "mid": band.mid, "high": band.low}[bound]
            gain, loss = {"low": (ones, band.least), "mid": (ones, ones), "high": (band.least, ones)}[bound]
        out = np.empty(len(before), np.int64)
        cached_token_correction.correct(
            none if logged is None else np.ascontiguousarray(logged),
            before,
            now,
            self.traffic.model,
            model,
            gain,
            loss,
            moved,
            np.ascontiguousarray(most),
            none if taken is None else taken,
            out,
        )
        return out

    @cached_property
    def calibration(self) -> Calibration:
        """Logged over simulated cached tokens of each model, and the lowest and highest of its days.

        A model without evidence of its own takes its provider's, else the whole log's factor within 0 and 1; without
        any, 1 within 0 and 1.
        """
        if self.whole is not None and self.whole.calibration is not None:
            return self.whole.calibration
        sums = self._sums
        whole = _factor(sums.sum(axis=0))
        result = np.empty((3, len(self.models)))
        own = []
        for index in range(len(self.models)):
            found = _factor(sums[index])
            own.append(found is not None)
            if found is None:
                found = _factor(sums[self.kin(index)].sum(axis=0))
            result[:, index] = found or (0.0, whole[1] if whole else 1.0, 1.0)
        return Calibration(result[0], result[1], result[2], tuple(own))

    def kin(self, place: int) -> list[int]:
        """The models whose calls meet the same provider's prompt cache."""
        makers = [dated_rules.maker_of(provider, (model or "").lower()) for provider, model in self.models]
        return [other for other, maker in enumerate(makers) if maker == makers[place]]

    @cached_property
    def _sums(self) -> Int64:
        """Logged and simulated cached tokens of the calls that log them, (models x days x 2)."""
        from replay.kernels.prompt_cache import cached_token_correction

        if self.told is not None:
            dense = np.zeros((len(self.models), self._days, 2), np.int64)
            for (model, day), amounts in self.told.days.items():
                dense[model, day - int(self.traffic.day[0])] = amounts
            return dense
        sums = np.zeros((len(self.models) * self._days, 2), np.int64)
        logged = self.traffic.usage.cache_read
        if logged is None and self.caches_logged:  # the logged costs may tell them
            logged = known_cached_tokens(self.traffic)
        if logged is not None:
            cell = self._cells(self.traffic.model)
            cached_token_correction.tally(cell, np.ascontiguousarray(logged), self.simulated_as_logged[0], sums)
        return sums.reshape(len(self.models), self._days, 2)

    def by_day(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The same by (model, day since 1970-01-01), where there are any."""
        first = int(self.traffic.day[0]) if len(self.traffic) else 0
        used = np.argwhere(self._sums.any(axis=2)).tolist()
        return {
            (model, first + day): (int(self._sums[model, day, 0]), int(self._sums[model, day, 1]))
            for model, day in used
        }

    def _zero_where(self, moved: Bool, logged: Tokens) -> Tokens:
        return None if logged is None else np.where(moved, 0, logged)

    def checks(self) -> list[Check]:
        """Predicted against logged cached tokens of each model that logs them, where the simulation has run."""
        if not self.used:
            return []
        found = []
        band = self.calibration
        for index, (provider, model) in enumerate(self.models):
            logged, simulated = (int(one) for one in self._sums[index].sum(axis=0))
            if logged or simulated:
                factors = float(band.low[index]), float(band.mid[index]), float(band.high[index])
                found.append(Check(provider, model, logged, simulated, *factors))
        return found

    def limits(self, model: Int32) -> Iterator[str]:
        """What the simulation of the providers' caches assumes, and how well it foresees what the log shows."""
        if not self.used:
            return
        if self.textless_calls:
            calls = formatting.count(self.textless_calls, "call")
            yield f"the prompt cache of {calls} without text or hashes is taken as logged"
        checks = self.checks()
        if not checks:
            yield "the providers' prompt caches are simulated, and the log has no cached tokens to check that against"
            return
        for check in checks[:NAMED]:
            yield check.sentence()
        if len(checks) > NAMED:
            yield f"so are checked the prompt caches of {formatting.count(len(checks) - NAMED, 'more model')} (--json)"
        moved = [place for place in np.flatnonzero(np.bincount(model)).tolist() if not self._checked(place)]
        names = ", ".join(str(self.models[place][1]) for place in moved[:NAMED])
        if moved and bool((model != self.traffic.model).any()):
            yield f"the prompt cache of {names} is simulated; no cached tokens of its provider are logged to check it"

    def _checked(self, place: int) -> bool:
        """Whether the model's provider shows cached tokens in this log, or the call stays where it was logged."""
        return any(self.calibration.known[one] for one in self.kin(place))


def _factor(sums: Int64) -> tuple[float, float, float] | None:
    """(lowest, whole, highest) of logged over simulated by day, at most 1; None where there is too little."""
    logged, simulated = sums[:, 0], sums[:, 1]
    if int(simulated.sum()) < LEAST_EVIDENCE:
        return None
    some = simulated > 0
    ratio = np.clip(logged[some] / simulated[some], 0, 1)
    whole = min(float(logged.sum() / simulated.sum()), 1.0)
    return min(float(ratio.min()), whole), whole, max(float(ratio.max()), whole)
