"""What a part of the traffic adds to a strategy's result: `partial` of each part, `merge` of them all.

Whatever is summed is an integer, so the parts may come in any number and any order. The file store is the case of one
part. What is judged of whole conversations (quality, latency, what other models make of a call) is no sum: for that
the outcome of each call comes along, where a part is not the whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from analysis.money import exact_sum
from analysis.price_book import vocabulary
from replay.engine.engine import Engine
from replay.engine.outcome import Outcome
from replay.engine.range_sums import RangeSums, range_sums
from replay.engine.rewritten_requests import Stages
from replay.engine.run_id import Digest, added, digest
from replay.outcomes import COALESCED, HIT
from replay.response_cache.capacity import Held
from replay.stages.side_costs import KINDS
from replay.traffic.traffic import MICRO, Bool, Int64

Key = tuple[Hashable, ...]
SIDE_COSTS: Final = (*KINDS, "behaviour", "summary")  # in the order of a result


@dataclass(frozen=True)
class CallOutcomes:
    """The outcome of each call of a part, in order of `call_no`; `comparable` as Engine.comparable."""

    call_no: Int64
    comparable: Bool
    outcome: Outcome

    @classmethod
    def of(cls, engine: Engine) -> CallOutcomes:
        outcome = engine.evaluate(engine.everything)
        return _in_order([cls(engine.traffic.call_no, engine.comparable, outcome)])

    def at(self, call_no: Int64) -> CallOutcomes:
        """The same in another order of the same calls."""
        return _taken(self, np.searchsorted(self.call_no, call_no))


@dataclass(frozen=True)
class Partial:
    """Sums over the calls of a part, by what they are sums of.

    Keys: ("total", stages) pico-dollars of the comparable calls under a coalition; ("day", number, what) with cost and
    logged in pico-dollars, priced in rows, calls and hits in millionths of a call; ("calls", what) in millionths of a
    call; ("rows", "priced"); ("tier", place, what) with hits in rows, worth in pico-dollars; ("side", kind);
    ("parts", "provider caches"), the parts whose result rests on their simulation.
    """

    sums: Mapping[Key, int]
    low: RangeSums
    high: RangeSums
    data: Digest
    held: tuple[Held, ...] = ()  # what the limited caches had to hold, where they are taken to have room
    calls: CallOutcomes | None = None  # where the part is not the whole

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
    low, high = (range_sums(engine, bound) for bound in ("low", "high"))
    sums["parts", "provider caches"] = int(engine.provider.used)
    data = engine.shared.once("digest", lambda: digest(traffic))
    whole = engine.whole is None
    return Partial(sums, low, high, data, tuple(engine.held), None if whole else CallOutcomes.of(engine))


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


def merge(parts: Iterable[Partial]) -> Partial:
    """The sums of all parts: one part is itself; their order and how they are grouped change nothing."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    sums: dict[Key, int] = {}
    for part in found:
        for key, amount in part.sums.items():
            sums[key] = sums.get(key, 0) + amount
    calls = [part.calls for part in found if part.calls is not None]
    return Partial(
        sums,
        sum((part.low for part in found), RangeSums()),
        sum((part.high for part in found), RangeSums()),
        added(part.data for part in found),
        Held.merged(one for part in found for one in part.held),
        _in_order(calls) if calls else None,
    )


def _in_order(parts: list[CallOutcomes]) -> CallOutcomes:
    """All calls of the parts, in order of their numbers."""
    outcomes = [part.outcome for part in parts]
    columns: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in outcomes]) for name in _COLUMNS}
    cached = None
    if any(one.cached_tokens is not None for one in outcomes):
        cached = np.concatenate([_known(one) for one in outcomes])
    kinds = {kind for one in outcomes for kind in one.side_pico}
    side: dict[str, Int64] = {
        kind: np.concatenate([_side(one, kind) for one in outcomes]) for kind in SIDE_COSTS if kind in kinds
    }
    call_no = np.concatenate([part.call_no for part in parts])
    comparable = np.concatenate([part.comparable for part in parts])
    whole = CallOutcomes(call_no, comparable, Outcome(**columns, cached_tokens=cached, side_pico=side))
    rising = bool((call_no[1:] > call_no[:-1]).all())
    return whole if rising else _taken(whole, np.argsort(call_no, kind="stable"))


_COLUMNS = tuple(column.name for column in fields(Outcome) if column.name not in ("cached_tokens", "side_pico", "paid"))


def _taken(calls: CallOutcomes, rows: Int64) -> CallOutcomes:
    outcome = calls.outcome
    columns: dict[str, Any] = {name: getattr(outcome, name)[rows] for name in _COLUMNS}
    return CallOutcomes(
        calls.call_no[rows],
        calls.comparable[rows],
        Outcome(
            **columns,
            cached_tokens=None if outcome.cached_tokens is None else outcome.cached_tokens[rows],
            side_pico={kind: amounts[rows] for kind, amounts in outcome.side_pico.items()},
        ),
    )


def _known(outcome: Outcome) -> Int64:
    unknown = np.full(len(outcome.codes), vocabulary.UNKNOWN, np.int64)
    return unknown if outcome.cached_tokens is None else outcome.cached_tokens


def _side(outcome: Outcome, kind: str) -> Int64:
    return outcome.side_pico.get(kind, np.zeros(len(outcome.codes), np.int64))
