"""One counterfactual: the stages in the order a request meets them, priced call by call.

compress -> route -> cache tiers -> provider prompt cache -> price (with the batch tier). Any subset of the declared
stages can be switched on; a stage that is off leaves the call as logged. A call whose model, tokens and tier come out
as logged keeps the ledger's cost, so the identity strategy returns the ledger itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TypeVar

import numpy as np

from analysis import pricing
from analysis.models import model_info
from analysis.money import exact_sum
from analysis.rates import load_rates
from ingest.tokens import ensure_counted
from replay import batching, cache_stage, compression, lengths, routing_stage, side_costs
from replay.compression import DEFAULT_ENCODING
from replay.outcomes import BYPASSED, COALESCED, HIT, MAX_TIERS
from replay.prompt_loader import load_prompts
from replay.prompts import Prompts
from replay.provider_stage import ProviderStage
from replay.routing_stage import Routing
from replay.strategy import STAGES, Strategy
from replay.traffic import Bool, Int8, Int32, Int64, Traffic, take

Stages = frozenset[str]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """What each call became; arrays like the traffic's. `cost` is pricing.UNPRICED where it cannot be known."""

    cost: Int64
    codes: Int8  # replay.outcomes
    model: Int32  # index into Engine.models
    tier: Int8
    input_tokens: Int64
    output_tokens: Int64
    cached_tokens: Int64 | None  # None where no call has any
    as_logged: Bool  # same model, tokens and tier, and not served by our caches
    side: dict[str, Int64] = field(default_factory=dict)  # part of `cost` that the routing itself cost, by kind

    @property
    def hits(self) -> Bool:
        return (self.codes >= HIT) & (self.codes < HIT + MAX_TIERS)

    @property
    def served_by_us(self) -> Bool:
        return (self.codes >= HIT) & (self.codes <= COALESCED)


@dataclass
class Engine:
    """Evaluates one strategy over one traffic; what coalitions of stages share is computed once."""

    traffic: Traffic
    strategy: Strategy
    _memo: dict[object, object] = field(default_factory=dict, repr=False)

    @cached_property
    def players(self) -> tuple[str, ...]:
        """The stages that the file declares, in the order a request meets them."""
        declared = self.strategy.stages()
        return tuple(stage for stage in STAGES if stage in declared)

    @cached_property
    def everything(self) -> Stages:
        return frozenset(self.players)

    @cached_property
    def models(self) -> lengths.Pairs:
        """Logged (provider, model) pairs at their logged index, then the models that rules route to."""
        known = list(self.traffic.models)
        for target in routing_stage.named_models(self.strategy):
            pair = self.pair_of(target)
            if pair not in known:
                known.append(pair)
        return tuple(known)

    @cached_property
    def rates(self) -> pricing.RateTable:
        with self.traffic.store.read() as con:
            return load_rates(con, self.models)

    @cached_property
    def prompts(self) -> Prompts:
        """The logged requests; the texts themselves only where compression will read them.

        Texts that were never counted are counted now, once for all replays to come.
        """
        encodings = [model_info(provider, model).encoding or DEFAULT_ENCODING for provider, model in self.models]
        ensure_counted(self.traffic.store, sorted(set(encodings)))
        return load_prompts(self.traffic, texts="compress" in self.players)

    @cached_property
    def provider(self) -> ProviderStage:
        return ProviderStage(self.traffic, self.models, lambda: self.prompts)

    # -- one evaluation --------------------------------------------------------------------------------------------

    def evaluate(self, on: Stages, *, bound: str = "mid") -> Outcome:
        """The traffic with the stages of `on`. `bound` is low, mid or high: which end of every assumption is taken."""
        return self._once(("evaluate", on, bound), lambda: self._evaluate(on, bound))

    def _evaluate(self, on: Stages, bound: str) -> Outcome:
        traffic = self.traffic
        model = self.routed(on)
        codes = self.cached(on)
        ours = (codes >= HIT) & (codes <= COALESCED)
        moved = model != traffic.model
        input_tokens = self._once(("input", "compress" in on, "route" in on, bound), lambda: self._input(on, bound))
        output_tokens = self._once(
            ("output", "compress" in on, "route" in on, bound),
            lambda: self._output(on, bound),
        )
        cached, written = self.provider.tokens(
            on=on,
            mode=self.strategy.provider_cache,
            prompts=(lambda: self.compressed.prompts) if "compress" in on else (lambda: self.prompts),
            model=model,
            alive=~ours & (~traffic.gateway_hit | ("cache" in on)),
            input_tokens=input_tokens,
            bound=bound,
        )
        tier = batching.tiers(self.strategy, traffic, self.rates, model) if "batch" in on else traffic.tier
        same = ~moved & ~ours & (tier == traffic.tier)
        for now, name in (
            (input_tokens, "input"),
            (output_tokens, "output"),
            (cached, "cache_read"),
            (written, "cache_write"),
        ):
            before = getattr(traffic.usage, name)
            if now is not before:
                same &= now == traffic.tokens(name)
        if "cache" in on:  # the strategy's caches replace the gateway's, whose hits must then be paid for
            same &= ~traffic.gateway_hit
        cost = np.where(same, traffic.cost, pricing.UNPRICED)
        rest = np.flatnonzero(~same & ~ours)
        if len(rest):
            changed = pricing.Usage(
                **{
                    **{column.name: getattr(traffic.usage, column.name) for column in fields(pricing.Usage)},
                    "model": model,
                    "tier": tier,
                    "input": input_tokens,
                    "output": output_tokens,
                    "cache_read": cached,
                    "cache_write": written,
                    "cache_write_1h": self._hour_writes(written),
                    "reasoning": self._reasoning(moved, output_tokens),
                }
            )
            cost[rest] = self.rates.price(take(changed, rest)).total
        cost[ours & (traffic.cost != pricing.UNPRICED)] = 0
        side: dict[str, Int64] = {}
        if "route" in on:
            side = side_costs.side_costs(
                traffic,
                self.strategy,
                self.models,
                self.rates,
                self._index,
                self.routing(on),
                input_tokens=self._logged_input(on, bound),
                cost=cost,
                served_by_us=ours,
                bound=bound,
            )
            for amounts in side.values():
                cost = side_costs.add(cost, amounts)
        return Outcome(cost, codes, model, tier, input_tokens, output_tokens, cached, same, side)

    def _hour_writes(self, written: Int64 | None) -> Int64 | None:
        """The one-hour part of cache writes: in the logged proportion."""
        hour, before = self.traffic.usage.cache_write_1h, self.traffic.usage.cache_write
        if hour is None or written is None or before is None:
            return hour
        return np.where((before > 0) & (hour > 0), hour * np.maximum(written, 0) // np.maximum(before, 1), hour)

    def _reasoning(self, moved: Bool, output_tokens: Int64) -> Int64 | None:
        """Another model's reasoning is not known apart from its output, of which it is a part."""
        logged = self.traffic.usage.reasoning
        return None if logged is None else np.where(moved, pricing.UNKNOWN, np.minimum(logged, output_tokens))

    # -- stages ----------------------------------------------------------------------------------------------------

    @cached_property
    def compressed(self) -> compression.Compressed:
        """All requests after the file's compressors."""
        return compression.compress(self.prompts, self.strategy.compress, self.traffic)

    def _logged_input(self, on: Stages, bound: str) -> Int64:
        """Input tokens in the logged model's own count, after compression."""
        tokens = self.traffic.usage.input
        if "compress" not in on:
            return tokens
        return np.where(tokens < 0, tokens, np.maximum(tokens + self.compressed.delta(bound), 0))

    def _input(self, on: Stages, bound: str) -> Int64:
        logged, model = self._logged_input(on, bound), self.routed(on)
        if not lengths.encodings_differ(self.traffic, self.models, model):
            return logged
        prompts = self.compressed.prompts if "compress" in on else self.prompts
        return lengths.input_tokens(self.traffic, self.models, model, logged, prompts)

    def _output(self, on: Stages, bound: str) -> Int64:
        tokens = lengths.output_tokens(self.traffic, self.models, self.routed(on), self.strategy, bound)
        ratio = self.compressed.answer_ratio if "compress" in on else None
        return tokens if ratio is None else np.where(tokens < 0, tokens, np.rint(tokens * ratio).astype(np.int64))

    def routed(self, on: Stages) -> Int32:
        """The model that serves each call: a rule's target where the call fits it, else the logged one."""
        return self.routing(on).model

    def routing(self, on: Stages) -> Routing:
        """Where the rules send each call, with the stages of `on`."""
        if "route" not in on:
            return Routing(self.traffic.model, {})
        return self._once(
            ("route", "compress" in on),
            lambda: routing_stage.route(
                self.traffic, self.strategy, self.models, self._index, self._logged_input(on, "mid")
            ),
        )

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: self.models.index(self.pair_of(name)) for name in routing_stage.named_models(self.strategy)}

    def cached(self, on: Stages) -> Int8:
        """The outcome code of each call at the strategy's own caches."""
        if "cache" not in on:
            return self._once(("cache", None), lambda: np.full(len(self.traffic), BYPASSED, np.int8))
        return self._once(("cache", "compress" in on, "route" in on), lambda: self._cache(on))

    def _cache(self, on: Stages) -> Int8:
        assert self.strategy.cache is not None
        body = self._compressed_keys if "compress" in on else self.traffic.key.astype(np.int64)
        return cache_stage.simulate(self.traffic, self.strategy.cache, body, self.routed(on))

    @cached_property
    def _compressed_keys(self) -> Int64:
        return cache_stage.compressed_keys(self.traffic, self.prompts, self.compressed.prompts)

    # -- sums ------------------------------------------------------------------------------------------------------

    @cached_property
    def comparable(self) -> Bool:
        """Calls of the window with a price under every coalition: both sides of each comparison."""
        known = self.traffic.window & (self.traffic.cost != pricing.UNPRICED)
        coalitions: list[Stages] = [frozenset()]
        for player in self.players:
            coalitions += [members | {player} for members in coalitions]
        for on in coalitions:
            known &= self.evaluate(on).cost != pricing.UNPRICED
        return known

    def total(self, on: Stages, *, bound: str = "mid") -> int:
        """Pico-dollars of the comparable calls with the stages of `on`."""
        cost = self.evaluate(on, bound=bound).cost
        return exact_sum(cost[self.comparable & (cost != pricing.UNPRICED)])

    # -- small things ----------------------------------------------------------------------------------------------

    def pair_of(self, target: str) -> tuple[str | None, str | None]:
        """A rule names a model: the logged pair of that name, else `provider/model`, else the name alone."""
        for pair in self.traffic.models:
            if pair[1] == target:
                return pair
        provider, slash, name = target.partition("/")
        return (provider, name) if slash else (None, target)

    def _once(self, key: object, make: Callable[[], _T]) -> _T:
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]  # type: ignore[return-value]
