"""The gate before a projection: how well the simulation of what was logged reproduces the log.

What the replay leaves as logged is exact by construction, so it says nothing of the simulations that a projection rests
on. Here they run on the logged traffic itself: the cached tokens of each model, predicted out of fold, and what they
cost; and the hits of a gateway's own cache. Bias is the normalised mean bias error (NMBE), spread the coefficient of
variation of the root mean squared error over the days, hours or conversations of the
log (CV(RMSE)), both of ASHRAE Guideline 14-2014,
whose limits for monthly data hold the dollars as told and those for hourly data hold them as a range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from analysis.formatting import count, share
from analysis.price_book.vocabulary import UNPRICED
from replay.engine.engine import Engine
from replay.engine.outcome import Outcome
from replay.outcomes import HIT
from replay.provider_cache.calibration import known_cached_tokens
from replay.response_cache import simulate as tiers
from replay.strategy.schema import REWRITING
from replay.traffic.call_rates import EVERY
from replay.traffic.traffic import Bool, Int64
from replay.traffic.unit_draws import conversations, mixed

HOLDS: Final = (0.05, 0.15)  # largest bias and spread of dollars that are told
RANGES: Final = (0.10, 0.30)  # of dollars that are told as a range; beyond, they are refused
FOLDS: Final = 5
FEW: Final = 5  # units, below which smaller ones are compared; fewer still tell no spread
HOUR_MS: Final = 3_600_000
LIVES_MS: Final = (60_000, 300_000, 600_000, 3_600_000, 86_400_000, 604_800_000)  # of a gateway's cache; the fit counts

Unit = Literal["day", "hour", "conversation"]
UNITS: Final[tuple[Unit, ...]] = ("day", "hour", "conversation")
Verdict = Literal["holds", "range", "refused", "unchecked"]
ORDER: Final = ("holds", "unchecked", "range", "refused")  # from good to bad


@dataclass(frozen=True)
class Reproduction:
    """One simulated quantity of one model beside the log. Dollars in pico-dollars; tokens and hits as counts."""

    quantity: Literal["prompt cache", "gateway cache"]
    provider: str | None
    model: str | None
    calls: int
    units: int
    unit: Unit
    logged: int  # cached tokens, or hits
    replayed: int
    bias: float | None  # of the quantity
    spread: float | None
    cost_bias: float | None = None  # of what it costs
    cost_spread: float | None = None

    @property
    def verdict(self) -> Verdict:
        """By the dollars where there are any; by the quantity itself for a gateway's hits."""
        dollars = self.quantity == "prompt cache"
        bias, spread = (self.cost_bias, self.cost_spread) if dollars else (self.bias, self.spread)
        if bias is None:
            return "unchecked"
        for name, (most_bias, most_spread) in (("holds", HOLDS), ("range", RANGES)):
            if abs(bias) <= most_bias and (spread or 0.0) <= most_spread:
                return name  # type: ignore[return-value]
        return "refused"

    @property
    def reason(self) -> str:
        """What was found, as a clause."""
        where = f"{self.quantity} of {self.model}" if self.model else self.quantity
        if self.verdict == "unchecked":
            return f"{where}: the log has nothing to check its simulation against"
        parts = [f"bias {share(self.bias, sign=True)}"] if self.bias is not None else []
        parts += [f"spread {share(self.spread)} by {self.unit}"] if self.spread is not None else []
        told = f"{where}: the log is reproduced with {', '.join(parts)}"
        if self.cost_bias is None:
            return told
        spread = f", spread {share(self.cost_spread)}" if self.cost_spread is not None else ""
        return f"{told}; in dollars bias {share(self.cost_bias, sign=True)}{spread}"

    def to_json(self) -> dict[str, Any]:
        return {
            "quantity": self.quantity,
            "provider": self.provider,
            "model": self.model,
            "calls": self.calls,
            "unit": self.unit,
            "units": self.units,
            "logged": self.logged,
            "replayed": self.replayed,
            "nmbe": self.bias,
            "cv_rmse": self.spread,
            "cost_nmbe": self.cost_bias,
            "cost_cv_rmse": self.cost_spread,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def reproductions(engine: Engine) -> tuple[Reproduction, ...]:
    """Every model whose cached tokens the log shows, and the log's gateway cache: computed once for a traffic."""
    found: tuple[Reproduction, ...] = engine.shared.once("reproductions", lambda: tuple(_all(engine)))
    return found


def concerned(engine: Engine, outcome: Outcome) -> tuple[Reproduction, ...]:
    """The reproductions that a strategy's result rests on; one without evidence for a model that nothing checks."""
    found: list[Reproduction] = []
    inside = engine.traffic.window
    if engine.provider.used:
        moved = inside & (outcome.model != engine.traffic.model)
        changed = bool({*REWRITING, "cache"} & set(engine.players))
        serving = outcome.model[inside if changed else moved]
        checked = {(one.provider, one.model): one for one in reproductions(engine) if one.quantity == "prompt cache"}
        for place in np.unique(serving).tolist():
            provider, model = engine.models[place]
            own = checked.get((provider, model))
            kin = [checked[pair] for one in engine.provider.kin(place) if (pair := engine.models[one]) in checked]
            if own or kin:
                found += [own] if own else kin
            elif engine.provider.has_rule(place):
                found.append(Reproduction("prompt cache", provider, model, 0, 0, "day", 0, 0, None, None))
    if "cache" in engine.players and (engine.traffic.gateway_hit & inside).any():
        found += [one for one in reproductions(engine) if one.quantity == "gateway cache"]
    return tuple(dict.fromkeys(found))


def worst(found: Sequence[Reproduction]) -> Reproduction | None:
    """The one that decides how a strategy's dollars are told."""
    return max(found, key=lambda one: ORDER.index(one.verdict), default=None)


def _all(engine: Engine) -> Iterator[Reproduction]:
    if engine.provider.caches_logged:
        yield from _prompt_caches(engine)
    if engine.traffic.gateway_hit.any():
        yield _gateway(engine)


def _units(engine: Engine, chosen: Bool) -> tuple[Int64, int, Unit]:
    """(unit of each chosen call, how many, what they are): the largest of which there are a FEW."""
    traffic = engine.traffic
    for unit in UNITS:
        stamp = {
            "day": lambda: traffic.day.astype(np.int64),
            "hour": lambda: traffic.start_ms // HOUR_MS,
            "conversation": lambda: conversations(traffic),
        }[unit]()
        names, code = np.unique(stamp[chosen], return_inverse=True)
        if len(names) >= FEW:
            break
    return code.astype(np.int64), len(names), unit


def _errors(logged: Int64, replayed: Int64, unit: Int64, units: int) -> tuple[float | None, float | None]:
    """(NMBE, CV(RMSE)) of the sums by unit; None without anything logged, or with too few units."""
    before = np.bincount(unit, weights=logged.astype(np.float64), minlength=units)
    after = np.bincount(unit, weights=replayed.astype(np.float64), minlength=units)
    mean = float(before.mean()) if units else 0.0
    if mean <= 0:
        return None, None
    bias = float((after - before).sum() / before.sum())
    if units < FEW:
        return bias, None
    return bias, float(np.sqrt(((after - before) ** 2).sum() / (units - 1)) / mean)


def _prompt_caches(engine: Engine) -> Iterator[Reproduction]:
    """Cached tokens by model: the simulation times a factor that the call's own conversation had no part in."""
    traffic = engine.traffic
    logged = known_cached_tokens(traffic)
    simulated = engine.provider.simulated_as_logged[0]
    fold = (mixed(conversations(traffic), 0) % np.uint64(FOLDS)).astype(np.int64)
    known = (logged >= 0) & ~traffic.gateway_hit
    predicted = np.where(known, 0, logged)
    for place in range(len(traffic.models)):
        mine = known & (traffic.model == place)
        for number in range(FOLDS):
            held = mine & (fold == number)
            others = mine & (fold != number)
            if not held.any():
                continue
            base = others if simulated[others].any() else mine  # one conversation has no others to learn from
            whole = int(simulated[base].sum())
            factor = min(float(logged[base].sum() / whole), 1.0) if whole else 1.0
            predicted[held] = np.rint(simulated[held] * factor).astype(np.int64)
    predicted = np.where(known & (traffic.usage.input >= 0), np.minimum(predicted, traffic.usage.input), predicted)
    before = engine.rates.price(replace(traffic.usage, cache_read=logged), EVERY).total
    as_predicted = replace(traffic.usage, cache_read=predicted, cache_write=_room(engine, predicted))
    after = engine.rates.price(as_predicted, EVERY).total
    for place, (provider, model) in enumerate(traffic.models):
        mine = known & (traffic.model == place)
        if not (logged[mine].any() or simulated[mine].any()):
            continue
        unit, units, name = _units(engine, mine)
        priced = (before[mine] != UNPRICED) & (after[mine] != UNPRICED)
        costs = _errors(before[mine][priced], after[mine][priced], unit[priced], units)
        yield Reproduction(
            "prompt cache", provider, model, int(mine.sum()), units, name,
            int(logged[mine].sum()), int(predicted[mine].sum()),
            *_errors(logged[mine], predicted[mine], unit, units), *costs,
        )  # fmt: skip


def _room(engine: Engine, read: Int64) -> Int64 | None:
    """The logged cache writes, as far as the input has room for them beside `read`."""
    written = engine.traffic.usage.cache_write
    if written is None:
        return None
    return np.where(written > 0, np.minimum(written, np.maximum(engine.traffic.usage.input - read, 0)), written)


def _gateway(engine: Engine) -> Reproduction:
    """The log's gateway hits beside those of one shared cache with the strategy's keys, at the life that fits best."""
    traffic = engine.traffic
    asked = traffic.demand & (traffic.key >= 0)
    key = np.where(traffic.key < 0, -1, traffic.key.astype(np.int64) * len(traffic.models) + traffic.model)
    _, dense = np.unique(key, return_inverse=True)
    requests = tiers.Requests(
        key=np.where(traffic.key < 0, -1, dense).astype(np.int32),
        start_ms=traffic.start_ms,
        end_ms=traffic.end_ms,
        storable=traffic.storable & asked,
        lookup=asked,
        process=np.zeros(len(traffic), np.int32),
        size_bytes=np.zeros(0, np.int64),
    )
    fits = [tiers.simulate(requests, [tiers.Tier("gateway", ttl_ms=life)]) == HIT for life in LIVES_MS]
    hit = min(fits, key=lambda one: int((one != traffic.gateway_hit)[asked].sum()))
    unit, units, name = _units(engine, traffic.demand)
    logged, replayed = (side[traffic.demand].astype(np.int64) for side in (traffic.gateway_hit, hit))
    errors = _errors(logged, replayed, unit, units)
    return Reproduction(
        "gateway cache", None, None, int(traffic.demand.sum()), units, name, int(logged.sum()), int(replayed.sum()),
        *errors,
    )  # fmt: skip


def dollars(found: Sequence[Reproduction]) -> Literal["told", "range", "refused"]:
    """How a strategy's dollars are given: as they are, as a range, or not at all."""
    decides = worst(found)
    if decides is None or decides.verdict == "holds":
        return "told"
    return "refused" if decides.verdict == "refused" else "range"


def sentence(found: Sequence[Reproduction]) -> str | None:
    """What the gate makes of a strategy's dollars, for its limits; None where they are told as they are."""
    decides = worst(found)
    how = dollars(found)
    if decides is None or how == "told":
        return None
    more = sum(one.verdict == decides.verdict for one in found) - 1
    others = f" (and {count(more, 'more')})" if more else ""
    return f"{decides.reason}{others}: {'its dollars are refused' if how == 'refused' else 'its dollars are a range'}"
