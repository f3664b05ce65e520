"""What a part of the traffic adds to a strategy's result: `partial` of each part, `merge` of them all.

Whatever is summed is an integer, so the parts may come in any number and any order. The file store is the case of one
part. How much a part says goes by its days, models and groups, not by its calls; of single calls it tells only those
few whose durations are looked at.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analysis.money import exact_sum, sums_by
from analysis.price_book import vocabulary
from replay.engine import reproduction
from replay.engine.engine import Engine
from replay.engine.latency_load import reaching
from replay.engine.latency_sample import SampledCalls
from replay.engine.outcome import Outcome
from replay.engine.range_sums import RangeSums, range_sums
from replay.engine.rewritten_requests import Stages
from replay.engine.run_id import Digest, added, digest
from replay.outcomes import COALESCED, HIT
from replay.response_cache.capacity import Held
from replay.stages.side_costs import KINDS
from replay.traffic.traffic import MICRO, Bool

Key = tuple[Hashable, ...]
SIDE_COSTS: Final = (*KINDS, "behaviour", "summary")  # in the order of a result


@dataclass(frozen=True)
class Partial:
    """Sums over the calls of a part, by what they are sums of.

    Keys: ("total", stages) pico-dollars of the comparable calls under a coalition; ("day", number, what) with cost and
    logged in pico-dollars, priced in rows, calls and hits in millionths of a call; ("calls", what) in millionths of a
    call; ("rows", what); ("tier", place, what) with hits in rows, worth in pico-dollars; ("side", kind);
    ("moved", model, what) of priced calls that reach another model than logged, with calls in rows and cost;
    ("reach", model, group) in rows that reach a model, by the group that they move with; ("no price", what) in rows
    that have no price under the strategy alone, by model and kind of side cost; ("parts", "provider caches"), the parts
    whose result rests on their simulation.
    """

    sums: Mapping[Key, int]
    low: RangeSums
    high: RangeSums
    data: Digest
    held: tuple[Held, ...] = ()  # what the limited caches had to hold, where they are taken to have room
    sampled: SampledCalls | None = None  # where the part is not the whole
    checked: reproduction.Checked | None = None  # the logged prompt caches beside their simulation, where it is asked

    def of(self, *key: Hashable) -> int:
        """One sum, 0 where no call adds to it."""
        return self.sums.get(key, 0)

    def by(self, name: str) -> dict[Key, int]:
        """The sums whose key begins with `name`, by the rest of it."""
        return {key[1:]: amount for key, amount in self.sums.items() if key[0] == name}

    @property
    def totals(self) -> dict[Stages, int]:
        """Pico-dollars of the comparable calls under every coalition."""
        return {key[0]: amount for key, amount in self.by("total").items() if isinstance(key[0], frozenset)}

    @property
    def reach(self) -> dict[tuple[int, int], int]:
        """Calls that reach each model, as `replay.engine.latency_load.reaching`."""
        return {(key[0], key[1]): rows for key, rows in self.by("reach").items()}  # type: ignore[misc]

    @property
    def days(self) -> list[int]:
        """The days of the window that have calls, as days since 1970-01-01."""
        return sorted({key[0] for key in self.by("day") if isinstance(key[0], int)})


def partial(engine: Engine) -> Partial:
    """What the engine's traffic adds to the result of its strategy."""
    traffic = engine.traffic
    result = engine.evaluate(engine.everything)
    window, kept = traffic.window, engine.comparable
    demand, hits = window & traffic.demand, result.hits & window
    sums: dict[Key, int] = {("total", on): amount for on, amount in engine.totals.items()}
    weight = traffic.usage.weight_micro

    def calls(chosen: Bool) -> int:
        return int(np.count_nonzero(chosen)) * MICRO if weight is None else int(weight[chosen].sum())

    logged = window & (traffic.cost != vocabulary.UNPRICED)
    for name, chosen in (
        ("demand", demand),
        ("hits", hits & demand),
        ("coalesced", demand & (result.codes == COALESCED)),
        ("unpriced", window & ~kept),
        ("newly unpriced", logged & ~kept),
    ):
        sums["calls", name] = calls(chosen)
    sums["rows", "priced"] = int(kept.sum())
    tiers = engine.strategy.cache.tiers if engine.strategy.cache else ()
    # a hit's worth: what the call costs without the cache
    without = engine.evaluate(engine.everything - {"cache"}).cost_pico if tiers else result.cost_pico
    for place in range(len(tiers)):
        served = result.codes == HIT + place
        sums["tier", place, "hits"] = int((hits & served).sum())
        sums["tier", place, "worth"] = exact_sum(without[kept & served])
    sums |= {("side", kind): exact_sum(amounts[kept]) for kind, amounts in result.side_pico.items()}
    sums |= _daily(engine, result)
    sums |= _judged(engine, result, logged & ~kept)
    low, high = (range_sums(engine, bound) for bound in ("low", "high"))
    sums["parts", "provider caches"] = int(engine.provider.used)
    data = engine.shared.once("digest", lambda: digest(traffic))
    found = Partial(sums, low, high, data, tuple(engine.held))
    if engine.whole is None:
        return found
    plan = engine.whole.check
    checked = None if plan is None else engine.shared.once("checked", lambda: reproduction.check(engine, plan))
    return replace(found, sampled=SampledCalls.of(engine), checked=checked)


def _daily(engine: Engine, result: Outcome) -> dict[Key, int]:
    """The sums of each day of the window that has calls."""
    traffic, kept = engine.traffic, engine.comparable
    hits = result.hits & traffic.window
    sums: dict[Key, int] = {}
    # calls come in order of time, so a day is a run of rows
    begins = np.flatnonzero(np.diff(traffic.day, prepend=-1)) if len(traffic) else np.zeros(0, np.int64)
    for first, last in zip(begins.tolist(), [*begins[1:].tolist(), len(traffic)], strict=False):
        inside = slice(first, last)
        mine = traffic.window[inside]
        if not mine.any():
            continue
        day, priced = int(traffic.day[first]), kept[inside]
        for name, chosen in (("calls", mine), ("hits", hits[inside])):
            weight = traffic.usage.weight_micro
            many = int(np.count_nonzero(chosen)) * MICRO if weight is None else int(weight[inside][chosen].sum())
            sums["day", day, name] = many
        sums["day", day, "priced"] = int(np.count_nonzero(priced))
        sums["day", day, "cost"] = exact_sum(result.cost_pico[inside][priced])
        sums["day", day, "logged"] = exact_sum(traffic.cost[inside][priced])
    return sums


def _judged(engine: Engine, result: Outcome, no_price: Bool) -> dict[Key, int]:
    """The sums that quality, latency and what is said of the result rest on. `no_price`: calls that lost theirs."""
    traffic = engine.traffic
    inside, width = traffic.window, len(engine.models)
    changed = inside & ~result.as_logged
    for amounts in result.side_pico.values():
        changed |= inside & (amounts != 0)
    sums: dict[Key, int] = {
        ("rows", "changed"): int(np.count_nonzero(changed)),
        ("rows", "newly unpriced"): int(np.count_nonzero(no_price)),
    }
    for model, rows in enumerate(np.bincount(result.model[no_price], minlength=width).tolist()):
        if rows:
            sums["no price", model] = rows
    for kind, amounts in result.side_pico.items():
        sums["no price", kind] = int(np.count_nonzero(amounts[no_price] == vocabulary.UNPRICED))
    moved = inside & (result.model != traffic.model) & ~result.served_by_us
    moved &= result.cost_pico != vocabulary.UNPRICED
    number = result.model[moved]
    calls = np.bincount(number, minlength=width).tolist()
    costs = sums_by(result.cost_pico[moved], number, width) if len(number) else [0] * width
    for model, rows in enumerate(calls):
        if rows:
            sums["moved", model, "calls"], sums["moved", model, "cost"] = rows, costs[model]
    return sums | {("reach", *key): rows for key, rows in reaching(engine, result).items()}


def merge(parts: Iterable[Partial]) -> Partial:
    """The sums of all parts: one part is itself; their order and how they are grouped change nothing."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    sums: dict[Key, int] = {}
    for part in found:
        for key, amount in part.sums.items():
            sums[key] = sums.get(key, 0) + amount
    sampled = [part.sampled for part in found if part.sampled is not None]
    checked = [part.checked for part in found if part.checked is not None]
    return Partial(
        sums,
        sum((part.low for part in found), RangeSums()),
        sum((part.high for part in found), RangeSums()),
        added(part.data for part in found),
        Held.merged(one for part in found for one in part.held),
        SampledCalls.merged(sampled) if sampled else None,
        reproduction.merged(checked) if checked else None,
    )
