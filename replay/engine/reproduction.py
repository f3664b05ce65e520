"""The gate before a projection: how well the simulation of what was logged reproduces the log.

What the replay leaves as logged is exact by construction, so it says nothing of the simulations that a projection rests
on. Here they run on the logged traffic itself: the cached tokens of each model, predicted out of fold, and what they
cost; and the hits of a gateway's own cache. Bias is the normalised mean bias error (NMBE), spread the coefficient of
variation of the root mean squared error over the days, hours or conversations of the
log (CV(RMSE)), both of ASHRAE Guideline 14-2014,
whose limits for monthly data hold the dollars as told and those for hourly data hold them as a range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from analysis.formatting import count, share
from analysis.price_book.vocabulary import UNPRICED
from replay.engine.engine import Engine
from replay.outcomes import HIT
from replay.provider_cache.calibration import known_cached_tokens
from replay.provider_cache.check import FEW, CheckPlan, LoggedCaches, Unit, by_fold, folds, stamps, unit_of
from replay.response_cache import simulate as tiers
from replay.strategy.schema import REWRITING
from replay.traffic.call_rates import EVERY
from replay.traffic.traffic import Bool, Int64

HOLDS: Final = (0.05, 0.15)  # largest bias and spread of dollars that are told
RANGES: Final = (0.10, 0.30)  # of dollars that are told as a range; beyond, they are refused
LIVES_MS: Final = (60_000, 300_000, 600_000, 3_600_000, 86_400_000, 604_800_000)  # of a gateway's cache; the fit counts

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


Checked = Mapping[tuple[int, int], Int64]
"""By model and unit: calls, cached tokens as logged and as predicted, and what the calls cost with either."""


def prompt_caches(engine: Engine, checked: Checked | None = None) -> tuple[Reproduction, ...]:
    """Every model whose cached tokens the log shows: computed once for a traffic.

    `checked` is what its parts found, where they were told how to check (`replay.engine.whole_log`).
    """
    if not engine.provider.caches_logged:
        return ()
    found: tuple[Reproduction, ...] = engine.shared.once(
        "prompt caches reproduced", lambda: tuple(_prompt_caches(engine, checked))
    )
    return found


def gateway_cache(engine: Engine) -> tuple[Reproduction, ...]:
    """The log's gateway cache, where it has one: computed once for a traffic."""
    if not engine.traffic.gateway_hit.any():
        return ()
    return (engine.shared.once("gateway reproduced", lambda: _gateway(engine)),)


def reproductions(engine: Engine) -> tuple[Reproduction, ...]:
    """All that the log shows of both kinds."""
    return (*prompt_caches(engine), *gateway_cache(engine))


def concerned(engine: Engine, checked: Checked | None = None) -> tuple[Reproduction, ...]:
    """The reproductions that a strategy's result rests on; one without evidence for a model that nothing checks."""
    found: list[Reproduction] = []
    inside = engine.traffic.window
    if engine.provider.used:
        served = engine.served(engine.everything)[0]
        moved = inside & (served != engine.traffic.model)
        changed = bool({*REWRITING, "cache"} & set(engine.players))
        serving = served[inside if changed else moved]
        known = {(one.provider, one.model): one for one in prompt_caches(engine, checked)}
        for place in np.unique(serving).tolist():
            provider, model = engine.models[place]
            own = known.get((provider, model))
            kin = [known[pair] for one in engine.provider.kin(place) if (pair := engine.models[one]) in known]
            if own or kin:
                found += [own] if own else kin
            elif engine.provider.has_rule(place):
                found.append(Reproduction("prompt cache", provider, model, 0, 0, "day", 0, 0, None, None))
    if "cache" in engine.players and (engine.traffic.gateway_hit & inside).any():
        found += gateway_cache(engine)
    return tuple(dict.fromkeys(found))


def worst(found: Sequence[Reproduction]) -> Reproduction | None:
    """The one that decides how a strategy's dollars are told."""
    return max(found, key=lambda one: ORDER.index(one.verdict), default=None)


def _errors(logged: Int64, replayed: Int64) -> tuple[float | None, float | None]:
    """(NMBE, CV(RMSE)) of sums by unit; None without anything logged, or with too few units."""
    before, after = logged.astype(np.float64), replayed.astype(np.float64)
    mean = float(before.mean()) if len(before) else 0.0
    if mean <= 0:
        return None, None
    bias = float((after - before).sum() / before.sum())
    if len(before) < FEW:
        return bias, None
    return bias, float(np.sqrt(((after - before) ** 2).sum() / (len(before) - 1)) / mean)


def logged_caches(engine: Engine) -> LoggedCaches:
    """What the simulation of the logged calls says beside the log: the first round of a check by parts."""
    return LoggedCaches(engine.provider.by_day(), _by_fold(engine), engine.provider.textless_calls)


def check_plan(engine: Engine, by_fold: Mapping[tuple[int, int], tuple[int, int, int]]) -> CheckPlan:
    """How the calls of the log are checked, from the sums of the first round over all of them."""
    _, known, _ = _evidence(engine)
    told = {model for (model, _), (_, *tokens) in by_fold.items() if any(tokens)}
    model = engine.traffic.model
    units = {place: unit_of(engine.traffic, known & (model == place)) for place in sorted(told)}
    return CheckPlan(LoggedCaches(folds=by_fold).factors(), units)


def check(engine: Engine, plan: CheckPlan) -> dict[tuple[int, int], Int64]:
    """The sums of the second round over the engine's traffic, as `Checked`."""
    traffic = engine.traffic
    logged, known, fold = _evidence(engine)
    simulated = engine.provider.simulated_as_logged[0]
    factor = np.ones((len(traffic.models), int(fold.max(initial=0)) + 1))
    for (model, number), value in plan.factors.items():
        if number < factor.shape[1]:
            factor[model, number] = value
    predicted = np.where(known, np.rint(simulated * factor[traffic.model, fold]).astype(np.int64), logged)
    predicted = np.where(known & (traffic.usage.input >= 0), np.minimum(predicted, traffic.usage.input), predicted)
    before = engine.rates.price(replace(traffic.usage, cache_read=logged), EVERY).total
    as_predicted = replace(traffic.usage, cache_read=predicted, cache_write=_room(engine, predicted))
    after = engine.rates.price(as_predicted, EVERY).total
    priced = (before != UNPRICED) & (after != UNPRICED)
    columns = (np.ones(len(traffic), np.int64), logged, predicted, *(np.where(priced, c, 0) for c in (before, after)))
    found: dict[tuple[int, int], Int64] = {}
    for model, unit in plan.units.items():
        rows = np.flatnonzero(known & (traffic.model == model))
        names, code = np.unique(stamps(traffic, unit)[rows], return_inverse=True)
        sums = np.zeros((len(names), len(columns)), np.int64)
        for place, column in enumerate(columns):
            np.add.at(sums[:, place], code, column[rows])
        found |= {(model, name): sums[place] for place, name in enumerate(names.tolist())}
    return found


def merged(parts: Iterable[Checked]) -> dict[tuple[int, int], Int64]:
    """The sums of all parts."""
    found: dict[tuple[int, int], Int64] = {}
    for part in parts:
        for key, row in part.items():
            found[key] = found[key] + row if key in found else row
    return found


def _evidence(engine: Engine) -> tuple[Int64, Bool, Int64]:
    """(cached tokens as logged, whether they are and a provider answered, fold) of each call."""

    def made() -> tuple[Int64, Bool, Int64]:
        logged = known_cached_tokens(engine.traffic)
        return logged, (logged >= 0) & ~engine.traffic.gateway_hit, folds(engine.traffic)

    found: tuple[Int64, Bool, Int64] = engine.shared.once("evidence of prompt caches", made)
    return found


def _by_fold(engine: Engine) -> Mapping[tuple[int, int], tuple[int, int, int]]:
    if engine.provider.told is not None:
        return engine.provider.told.folds
    logged, known, fold = _evidence(engine)
    model, simulated = engine.traffic.model.astype(np.int64), engine.provider.simulated_as_logged[0]
    return by_fold(model[known], fold[known], logged[known], simulated[known])


def _prompt_caches(engine: Engine, checked: Checked | None) -> Iterator[Reproduction]:
    """Cached tokens by model: the simulation times a factor that the call's own conversation had no part in."""
    plan = check_plan(engine, _by_fold(engine))
    sums = check(engine, plan) if checked is None else checked
    for model, unit in plan.units.items():
        rows = np.array([sums[key] for key in sorted(sums) if key[0] == model], np.int64).reshape(-1, 5)
        calls, logged, predicted, before, after = rows.T
        provider, name = engine.traffic.models[model]
        yield Reproduction(
            "prompt cache", provider, name, int(calls.sum()), len(rows), unit,
            int(logged.sum()), int(predicted.sum()), *_errors(logged, predicted), *_errors(before, after),
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
    name = unit_of(traffic, traffic.demand)
    units, code = np.unique(stamps(traffic, name)[traffic.demand], return_inverse=True)
    sums = np.zeros((2, len(units)), np.int64)
    for place, side in enumerate((traffic.gateway_hit, hit)):
        np.add.at(sums[place], code, side[traffic.demand].astype(np.int64))
    return Reproduction(
        "gateway cache", None, None, int(traffic.demand.sum()), len(units), name, int(sums[0].sum()),
        int(sums[1].sum()), *_errors(*sums),
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
