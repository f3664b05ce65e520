"""One counterfactual: the stages in the order a request meets them, priced call by call.

prompts -> compress -> route -> cache tiers -> provider prompt cache -> price (with the batch tier). Any subset of the
declared stages can be switched on; a stage that is off leaves the call as logged. A call whose model, tokens and tier
come out as logged keeps the ledger's cost, so the identity strategy returns the ledger itself.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from analysis.price_book import vocabulary
from analysis.pricing.model_info import model_info
from ingest.contents.tokenizer import ensure_counted
from replay.engine.coalitions import coalition_sums
from replay.engine.moved_calls import MovedCalls
from replay.engine.outcome import Outcome
from replay.engine.repricing import Repricing
from replay.engine.rewritten_requests import RewrittenRequests, Stages
from replay.engine.shared_results import Shared
from replay.engine.whole_log import WholeLog
from replay.estimates import answer_length_ratios, rework
from replay.estimates import output_tokens as lengths
from replay.estimates.behaviour import Behaviour, Priors, priors
from replay.estimates.input_token_ratios import InputRatios, InputStage
from replay.estimates.measured_units import measure
from replay.outcomes import BYPASSED, COALESCED, HIT
from replay.provider_cache.stage import ProviderStage
from replay.response_cache import stage as cache_stage
from replay.response_cache.capacity import Held
from replay.stages import batch_tier, side_costs
from replay.stages import routing as routing_stage
from replay.stages.compression import DEFAULT_ENCODING
from replay.stages.routing import Routing, logged_pair
from replay.strategy.schema import REWRITING, STAGES, Strategy
from replay.traffic.call_rates import CallRates, call_rates
from replay.traffic.load_prompts import load_prompts
from replay.traffic.prompts import Prompts
from replay.traffic.traffic import Bool, Int8, Int32, Int64, Traffic
from replay.traffic.unit_draws import tasks_of_users

_T = TypeVar("_T")


@dataclass
class Engine:
    """Evaluates one strategy over one traffic; what coalitions of stages share is computed once.

    Engines that are given the same `shared` (of one traffic) also share prices, prompts and compressed prompts.
    """

    traffic: Traffic
    strategy: Strategy
    shared: Shared = field(default_factory=Shared, repr=False)
    _memo: dict[object, object] = field(default_factory=dict, repr=False)
    rework_notes: tuple[rework.Note, ...] = field(default=(), init=False)
    priors: Priors = field(default_factory=priors, repr=False)
    evidence: Bool | None = field(default=None, repr=False)  # calls that a model's behaviour may be learned from; all
    whole: WholeLog | None = field(default=None, repr=False)  # where the traffic is a part of a log

    def __post_init__(self) -> None:
        """What the log measures (answer lengths, and rework where it is asked for) stands in for what is assumed."""
        if self.whole is not None:
            self.strategy = self.whole.strategy
            return
        named = routing_stage.named_models(self.strategy)
        paired = self.strategy.behaviour == "estimated"  # the others are estimated with the rest of a model's behaviour
        lengths_told = self.shared.once(
            ("lengths", paired, *named), lambda: answer_length_ratios.known(self.traffic, named, paired=paired)
        )
        self.strategy = answer_length_ratios.informed(self.strategy, lengths_told)
        self.strategy, self.rework_notes = rework.informed(self.strategy, self.traffic, named)

    @cached_property
    def players(self) -> tuple[str, ...]:
        """The stages that the file declares, in the order a request meets them."""
        declared = self.strategy.stages()
        return tuple(stage for stage in STAGES if stage in declared)

    @cached_property
    def everything(self) -> Stages:
        """All stages of the strategy together."""
        return frozenset(self.players)

    @cached_property
    def models(self) -> lengths.Pairs:
        """Logged (provider, model) pairs at their logged index, then the models that rules route to."""
        return self._models_of(self.strategy)

    def _models_of(self, strategy: Strategy) -> lengths.Pairs:
        named = (logged_pair(self.traffic.models, target) for target in routing_stage.named_models(strategy))
        return tuple(dict.fromkeys((*self.traffic.models, *named)))

    def index_of(self, name: str) -> int:
        """The position in `models` of a model that the file names."""
        return self.models.index(logged_pair(self.traffic.models, name))

    @cached_property
    def rates(self) -> CallRates:
        """Rates of each call at each model that it may go to."""
        return self.shared.once(("rates", self.models), lambda: call_rates(self.traffic, self.models))

    @cached_property
    def prompts(self) -> Prompts:
        """The logged requests; the texts themselves only where compression will read them.

        Texts that were never counted are counted now, once for all replays to come.
        """
        return self.shared.once("prompts", self._load_prompts)

    def _load_prompts(self) -> Prompts:
        self.count_texts()
        users = self.shared.of or (self.strategy,)
        texts = any(REWRITING.intersection(strategy.stages()) for strategy in users)
        told = self.whole.caches.encodings if self.whole and self.whole.caches else None
        return load_prompts(self.traffic, texts=texts, tree=self.provider.caches_logged, encodings=told)

    def count_texts(self) -> None:
        """Count the texts that were never counted, by the tokenizers of all models of the strategies."""
        users = self.shared.of or (self.strategy,)
        models = dict.fromkeys(pair for strategy in users for pair in self._models_of(strategy))
        encodings = {model_info(provider, model).encoding or DEFAULT_ENCODING for provider, model in models}
        ensure_counted(self.traffic.store, sorted(encodings))

    @cached_property
    def requests(self) -> RewrittenRequests:
        """What each call sends after compression; made when it is first asked for."""
        return RewrittenRequests(self.traffic, self.strategy, self.shared, lambda: self.prompts)

    @cached_property
    def provider(self) -> ProviderStage:
        """The provider's prompt cache as the strategy leaves it."""
        made: dict[object, Any] = self.shared.once("chains", dict)
        told = None if self.whole is None else self.whole.caches
        return ProviderStage(self.traffic, self.models, lambda: self.prompts, made, whole=told)

    # -- one evaluation --------------------------------------------------------------------------------------------

    def evaluate(self, on: Stages, *, bound: str = "mid") -> Outcome:
        """The traffic with the stages of `on`. `bound` is low, mid or high: which end of every assumption is taken.

        The spread of a model's behaviour is one of whole groups: at an end it is left out of the cost, and `paid` says
        what it stretches (replay.engine.range_sums).

        Only the whole strategy's outcome is kept: ten million calls under every coalition would fill the memory.
        """
        if on == self.everything and bound == "mid":
            return self._once("outcome", lambda: self._evaluate(on, bound))
        return self._evaluate(on, bound)

    def _evaluate(self, on: Stages, bound: str) -> Outcome:
        traffic = self.traffic
        # the provider's cache on the logged side needs no other stage: it is worked out beside them
        with ThreadPoolExecutor(1) as beside:
            prepared = beside.submit(self.provider.prepare) if self._changes_prompts(on) else None
            model, tier = self.served(on)
            codes = self.cached(on)
            if prepared is not None:
                prepared.result()
        answered = self._answered(on)
        ours = (codes >= HIT) & (codes <= COALESCED)
        input_tokens, output_tokens = self._tokens(on, bound)
        cached, written = self.provider.tokens(
            on=on,
            mode=self.strategy.provider_cache,
            prompts=lambda: self.requests.prompts(on),
            model=model,
            alive=~ours & (~traffic.gateway_hit | ("cache" in on)),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            bound=bound,
        )
        changed = replace(
            traffic.usage,
            model=model,
            tier=tier,
            input=input_tokens,
            output=output_tokens,
            cache_read=cached,
            cache_write=written,
        )
        cost, same = self._repricing.price(changed, gateway_paid="cache" in on)
        if ours.any():
            same = same & ~ours
            cost = np.where(ours, np.where(traffic.cost == vocabulary.UNPRICED, vocabulary.UNPRICED, 0), cost)
        side: dict[str, Int64] = {}
        paid = None
        if "route" in on:
            side = side_costs.side_costs(
                traffic,
                self.strategy,
                self.models,
                self.rates,
                self._index,
                self.routing(on),
                input_tokens=self.requests.input_tokens(on, bound),
                cost=cost,
                served=ours if answered is None else ours | answered,
                bound=bound,
                usual_output=lambda: self.usual_output,
            )
            moved = self.moved(on)
            not_asked = ours if answered is None else ours | answered
            if moved is not None and bound == "mid":
                added = moved.more_calls(cost, not_asked)
                side |= {} if added is None else {"behaviour": added}
            elif moved is not None and moved.moves:
                silent = replace(changed, output=np.zeros(len(traffic), np.int64))
                paid = moved.paid(cost, not_asked, self._repricing.price(silent, gateway_paid="cache" in on)[0])
            for amounts in side.values():
                cost = side_costs.add(cost, amounts)
        summary = self.requests.compressed_after(on).summary if "compress" in on else None
        if summary is not None:
            not_asked = ours if answered is None else ours | answered
            made = side_costs.summary_costs(traffic, self.rates, model, summary.read, summary.written, not_asked)
            side["summary"] = made
            cost = side_costs.add(cost, made)
        return Outcome(cost, codes, model, tier, input_tokens, output_tokens, cached, same, side, paid)

    def served(self, on: Stages) -> tuple[Int32, Int8]:
        """(model, tier) that serve each call with the stages of `on`, as if no cache of theirs answered."""
        traffic, answered = self.traffic, self._answered(on)
        model = self.routed(on)
        if answered is not None and model is not traffic.model:
            model = np.where(answered, traffic.model, model)
        tier = self._tier(on, model)
        if answered is not None and tier is not traffic.tier:
            tier = np.where(answered, traffic.tier, tier)
        return model, tier

    def _answered(self, on: Stages) -> Bool | None:
        """What the gateway answered: touched by no stage, unless the strategy's caches replace the gateway's."""
        return None if "cache" in on or not self.traffic.gateway_hit.any() else self.traffic.gateway_hit

    def moved(self, on: Stages) -> MovedCalls | None:
        """What the calls that the stages of `on` move are expected to become; None where they stay as logged."""
        if "route" not in on or self.strategy.behaviour == "fixed":
            return None
        return self._once(("moved", on & REWRITING), lambda: self._moved(on))

    def expectations(self) -> tuple[dict[str, Any], ...]:
        """What the whole strategy expects of each group of moved calls, as plain values."""
        moved = self.moved(self.everything)
        return () if moved is None else tuple(moved.to_json())

    def unit_names(self) -> Int64:
        """63 bits that name each call's conversation, else its trace, else itself."""
        return self.shared.once("units", lambda: tasks_of_users(self.traffic))

    def _moved(self, on: Stages) -> MovedCalls:
        expected = Behaviour(
            self.traffic,
            self.models,
            self.unit_names,
            lambda: self.shared.once("behaviour", lambda: measure(self.traffic, self.unit_names(), self.evidence)),
            lambda: self.reading.ratios,
            self.priors,
            None if self.whole is None else self.whole.moves,
        )
        return MovedCalls(expected, self.strategy, self.routed(on))

    def whole_log(self) -> WholeLog:
        """What an engine over a part of this traffic must be told."""
        start = self.traffic.start_ms
        span = int(start[-1] - start[0]) if len(start) else 0
        calls = len(self.traffic)
        if "route" not in self.everything:
            return WholeLog(self.strategy, InputRatios(self.models), calls, span_ms=span)
        known = WholeLog(self.strategy, self.reading.ratios, calls, span_ms=span, usual_output=self.usual_output)
        moved = self.moved(frozenset({"route"}))
        if moved is None:
            return known
        return replace(known, moves={move.code: move for move in moved.moves})

    @property
    def calls(self) -> int:
        """How many calls the whole log has, of which the traffic may be a part."""
        return len(self.traffic) if self.whole is None else self.whole.calls

    @cached_property
    def usual_output(self) -> int:
        """The median answer of the log in tokens, -1 where none is known: a failed call has none of its own."""
        if self.whole is not None:
            return self.whole.usual_output
        return self.shared.once("usual output", lambda: side_costs.usual_output(self.traffic))

    @cached_property
    def _repricing(self) -> Repricing:
        return Repricing(self.traffic, lambda: self.rates)

    def _changes_prompts(self, on: Stages) -> bool:
        """Whether the stages of `on` can change what the provider's cache sees."""
        mode = self.strategy.provider_cache.mode if "provider_cache" in on else "auto"
        return mode != "off" and bool(on & (REWRITING | {"route", "cache"}))

    def _tokens(self, on: Stages, bound: str) -> tuple[Int64, Int64]:
        """(input, output) tokens of the serving model. The ends of the assumptions are asked for once: not kept."""
        banded = "route" in on and self.moved(on) is None and self.reading.banded
        read = bound if "compress" in on or banded else "mid"
        parts = on & REWRITING, "route" in on
        if bound != "mid":
            given = self._once(("input", *parts), lambda: self._input(on, "mid")) if read == "mid" else None
            return self._input(on, bound) if given is None else given, self._output(on, bound)
        return (
            self._once(("input", *parts), lambda: self._input(on, bound)),
            self._once(("output", *parts), lambda: self._output(on, bound)),
        )

    @cached_property
    def batched(self) -> Int8:
        """The tier that the batch rules ask for, -1 where none fits: they see the log alone."""
        return batch_tier.asked(self.strategy, self.traffic)

    def _tier(self, on: Stages, model: Int32) -> Int8:
        if "batch" not in on:
            return self.traffic.tier
        return self._once(
            ("tier", on & REWRITING, "route" in on),
            lambda: batch_tier.tiers(self.batched, self.traffic, self.rates, model),
        )

    # -- stages ----------------------------------------------------------------------------------------------------

    def _input(self, on: Stages, bound: str) -> Int64:
        logged = self.requests.input_tokens(on, bound)
        if "route" not in on:
            return logged
        moved = self.moved(on)  # whose spread is in the dollars
        read = self.reading.tokens(
            logged, self.routed(on), lambda: self.requests.prompts(on), "mid" if moved else bound
        )
        return moved.input(read) if moved else read

    @cached_property
    def reading(self) -> InputStage:
        """What the models that calls move to count for the same prompts."""
        moved = frozenset({"route"})
        targets = tuple(self._index.values())
        told = None if self.whole is None else self.whole.ratios
        return InputStage(self.traffic, self.models, targets, lambda: self.routed(moved), self.shared.once, told)

    def _output(self, on: Stages, bound: str) -> Int64:
        moved = self.moved(on)
        served = self.routed(on)
        tokens = lengths.output_tokens(self.traffic, self.models, served, self.strategy, bound, assumed=moved is None)
        tokens = moved.output(tokens) if moved else tokens
        ratio = self.requests.compressed_after(on).answer_ratio if "compress" in on else None
        return tokens if ratio is None else np.where(tokens < 0, tokens, np.rint(tokens * ratio).astype(np.int64))

    def routed(self, on: Stages) -> Int32:
        """The model that serves each call: a rule's target where the call fits it, else the logged one."""
        return self.routing(on).model

    def routing(self, on: Stages) -> Routing:
        """Where the rules send each call, with the stages of `on`."""
        if "route" not in on:
            return Routing(self.traffic.model, {})
        return self._once(
            ("route", on & REWRITING),
            lambda: routing_stage.route(
                self.traffic, self.strategy, self.models, self._index, self.requests.input_tokens(on, "mid")
            ),
        )

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: self.index_of(name) for name in routing_stage.named_models(self.strategy)}

    def cached(self, on: Stages) -> Int8:
        """The outcome code of each call at the strategy's own caches."""
        if "cache" not in on:
            return self._once(("cache", None), lambda: np.full(len(self.traffic), BYPASSED, np.int8))
        return self._once(("cache", on & REWRITING, "route" in on), lambda: self._cache(on))

    def _cache(self, on: Stages) -> Int8:
        assert self.strategy.cache is not None
        body = self.requests.keys(on) if on & REWRITING else self.traffic.key
        variant = ", ".join(sorted(on & (REWRITING | {"route"})))
        return cache_stage.simulate(self.traffic, self.strategy.cache, body, self.routed(on), self._room, variant)

    @cached_property
    def _room(self) -> cache_stage.Room | None:
        return None if self.whole is None else cache_stage.Room(self.whole.span_ms)

    @property
    def held(self) -> tuple[Held, ...]:
        """What limited tiers have to hold, where the traffic is a part of a log and they are taken to have room."""
        return () if self._room is None else tuple(self._room.held)

    # -- sums ------------------------------------------------------------------------------------------------------

    @cached_property
    def _sums(self) -> tuple[Bool, dict[Stages, int]]:
        """(calls of the window with a price under every coalition, the coalitions' sums over just these calls)."""
        logged = self.traffic.window & (self.traffic.cost != vocabulary.UNPRICED)
        return coalition_sums(self.players, logged, lambda on: self.evaluate(on).cost_pico)

    @property
    def comparable(self) -> Bool:
        """Calls of the window with a price under every coalition: both sides of each comparison."""
        return self._sums[0]

    @property
    def totals(self) -> dict[Stages, int]:
        """Pico-dollars of the comparable calls under every coalition."""
        return self._sums[1]

    def _once(self, key: object, make: Callable[[], _T]) -> _T:
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]  # type: ignore[return-value]
