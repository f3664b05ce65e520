"""Is the provider's prompt cache worth it: as logged, switched off, and asked for with each life, by model.

Where writing has a price of its own, caching without reuse costs more than none, and then this says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.price_book.vocabulary import UNPRICED
from analysis.pricing.rate_table import Usage
from replay.provider_cache import simulate
from replay.provider_cache.dated_rules import PromptCacheRule
from replay.traffic.call_rates import EVERY, CallRates, call_rates
from replay.traffic.load_prompts import chain_encoding, load_prompts
from replay.traffic.traffic import Traffic

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Choice:
    """Pico-dollars of one model's calls of the window that have a price and a prompt cache on their day.

    `on` maps a life ('5m', '1h', or 'auto' where the provider chooses) to the simulated cost.
    """

    provider: str | None
    model: str | None
    calls: int
    logged: int
    off: int
    on: dict[str, int]
    opt_in: bool

    @property
    def best(self) -> str:
        """'off', or the life that costs least; what is logged wins a tie."""
        options = {"as logged": self.logged, "off": self.off, **(self.on if self.opt_in else {})}
        return min(options, key=lambda name: options[name])

    @property
    def saves(self) -> int:
        """Pico-dollars that the cheapest way to mark prompts saves over the logged one; 0 if none does."""
        options = [self.logged, self.off, *(self.on.values() if self.opt_in else [])]
        return self.logged - min(options)


def choices(traffic: Traffic) -> list[Choice]:
    """One row per model with a prompt cache, in the order of the traffic's models. Reads the prompts' blocks."""
    pairs = traffic.models
    rule, rules = simulate.rules_of([a for a, _ in pairs], [b for _, b in pairs], traffic.model, traffic.start_ms)
    if not (rule >= 0).any():
        return []
    rates = call_rates(traffic, pairs)
    nothing = np.zeros(len(traffic), np.int64)
    prompts = load_prompts(traffic, texts=False)
    chains = simulate.block_chains(prompts, chain_encoding(prompts.contents))
    lived: dict[str, Int64] = {}
    for life in ("auto", "1h"):
        book = [_with_life(one, life) for one in rules]
        found = simulate.simulate(
            chains,
            scope=traffic.model,
            start_ms=traffic.start_ms,
            alive=~traffic.gateway_hit,
            rule=rule,
            rules=book,
            input_tokens=traffic.usage.input,
            answer_tokens=simulate.prompted_answers(traffic.usage.output, traffic.usage.reasoning),
        )
        hour = np.where(_hourly(book)[rule], found.written_tokens, 0)
        lived[life] = _cost(rates, traffic.usage, found.cached_tokens, found.written_tokens, hour)
    off = _cost(rates, traffic.usage, nothing, nothing, nothing)
    result = []
    for index, (provider, name) in enumerate(pairs):
        mine = traffic.window & (traffic.model == index) & (rule >= 0)
        for cost in (traffic.cost, off, *lived.values()):
            mine &= cost != UNPRICED
        if not mine.any():
            continue
        one = rules[int(rule[mine][-1])]
        on = {"5m": int(lived["auto"][mine].sum()), "1h": int(lived["1h"][mine].sum())}
        result.append(
            Choice(
                provider=provider,
                model=name,
                calls=int(mine.sum()),
                logged=int(traffic.cost[mine].sum()),
                off=int(off[mine].sum()),
                on=on if one.breakpoints is not None else {"auto": on["5m"]},
                opt_in=one.opt_in,
            )
        )
    return result


def _with_life(rule: PromptCacheRule, life: str) -> PromptCacheRule:
    """Only where the caller sets breakpoints can it choose the hour."""
    return rule.model_copy(update={"ttl_ms": HOUR_MS}) if life == "1h" and rule.breakpoints is not None else rule


def _hourly(rules: list[PromptCacheRule]) -> Bool:
    return np.array([one.breakpoints is not None and one.ttl_ms == HOUR_MS for one in rules] + [False])


def _cost(rates: CallRates, usage: Usage, read: Int64, written: Int64, hour: Int64) -> Int64:
    return rates.price(replace(usage, cache_read=read, cache_write=written, cache_write_1h=hour), EVERY).total
