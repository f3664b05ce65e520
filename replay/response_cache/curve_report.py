"""Cache curves of one store, by time to live, by capacity and by key policy, with the document that states them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from typing import Any, cast

from analysis.formatting import count, money, share, usd
from analysis.money import dollars
from analysis.price_book.vocabulary import UNPRICED
from ingest.errors import InputError, did_you_mean
from ingest.store.database import Store
from replay.response_cache import curves, key_policies
from replay.response_cache.lookups import Demand, Temperature, demand
from replay.response_cache.simulate import Requests
from replay.traffic.load_traffic import load
from replay.traffic.traffic import KEY_POLICIES, Traffic

CAPACITIES = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)  # entries
TEMPERATURES = ("always", "zero", "pool")
TENANTS = ("user_id", "team")


@dataclass(frozen=True)
class CurveReport:
    """What a shared cache would have saved on the window of `traffic`. `cost_pico` is what its calls cost."""

    traffic: Traffic
    demand: Demand
    by_ttl: curves.Curve
    by_capacity: curves.Curve
    keys: list[key_policies.KeyPolicy]
    cost_pico: int
    capacity_sample: float | None  # share of the keys that the capacity curve is estimated from; None: all of them

    @property
    def unpriced_calls(self) -> int:
        return unpriced_calls(self.traffic)

    @property
    def capacities(self) -> list[int]:
        """Positions in `by_capacity` of the round capacities, and of the last, which holds every key."""
        known = len(self.by_capacity.at)
        if not known:
            return []
        shown = [entries for entries in CAPACITIES if entries < self.by_capacity.at[-1]]
        return [*(int(place) for place in self.by_capacity.at.searchsorted(shown)), known - 1]

    def to_json(self) -> dict[str, Any]:
        return {
            "days": self.demand.days,
            "asked": self.by_ttl.asked,
            "cost_usd": usd(dollars(self.cost_pico)),
            "ttl": [_point(self.by_ttl, place, "ttl_ms") for place in range(len(self.by_ttl.at))],
            "capacity": [_point(self.by_capacity, place, "entries") for place in self.capacities],
            "keys": [
                {
                    "name": key.name,
                    "hits": key.hits,
                    "hit_rate": key.hit_rate,
                    "saved_usd": usd(dollars(key.saved)),
                    "hits_24h": key.hits_day,
                    "saved_24h_usd": usd(dollars(key.saved_day)),
                    **{f"repeat_{name}": value for name, value in vars(key.repeats).items()},
                }
                for key in self.keys
            ],
            "capacity_sample": self.capacity_sample,
            "unpriced_calls": self.unpriced_calls,
        }

    @property
    def summary(self) -> str:
        """What a cache with a time to live of a day would have served and saved, in a sentence."""
        if not self.by_ttl.asked:
            return "No call here can be looked up in a cache: the log has neither text nor hashes of its requests."
        day = list(self.by_ttl.at).index(curves.DAY)
        served = share(int(self.by_ttl.hits[day]) / self.by_ttl.asked)
        saved, spent = (money(self.usd_per_day(pico)) for pico in (int(self.by_ttl.saved[day]), self.cost_pico))
        whole = money(self.usd_per_day(int(self.by_capacity.saved[-1]))) if len(self.by_capacity.at) else "$0.00"
        return (
            f"A shared cache that keeps answers for 24 h would have served {served} of "
            f"{count(self.by_ttl.asked, 'call')} and saved {saved} a day of {spent}; without expiry {whole}."
        )

    def usd_per_day(self, pico: int) -> Decimal:
        """An amount of the window as mean dollars per day with calls."""
        return dollars(int(pico)) / max(self.demand.days, 1)


def curve_report(
    store: Store,
    *,
    since: date | None = None,
    until: date | None = None,
    key: str = "canonical",
    temperature: str = "always",
    tenant: str | None = None,
    sample: float | None = None,
) -> CurveReport:
    """The curves of the window [since, until] (inclusive UTC days), each from one pass over its calls.

    `key`, `temperature` and `tenant` are as in `load_demand`. The capacity curve is exact, or estimated from the share
    `sample` of the keys; without it, from a share of its own above `curves.MANY_CALLS` calls. Raises InputError for
    an unknown argument, StrategyError for sampled or aggregated logs.
    """
    traffic, asked = load_demand(store, since=since, until=until, key=key, temperature=temperature, tenant=tenant)
    requests, worth = _of_window(asked)
    if sample is None and len(worth) > curves.MANY_CALLS:
        sample = curves.SAMPLE
    return CurveReport(
        traffic=traffic,
        demand=asked,
        by_ttl=curves.ttl_curve(requests, worth),
        by_capacity=curves.sampled_capacity_curve(requests, worth, rate=sample)
        if sample
        else curves.capacity_curve(requests, worth),
        keys=key_policies.compare(traffic, temperature=cast(Temperature, temperature), tenant=tenant),
        cost_pico=sum(int(pico) for pico in worth),
        capacity_sample=sample,
    )


def load_demand(
    store: Store, *, since: date | None, until: date | None, key: str, temperature: str, tenant: str | None
) -> tuple[Traffic, Demand]:
    """The traffic of the window and its cache look-ups.

    `key` is a key policy, `temperature` always, zero or pool, `tenant` user_id, team or None. Raises InputError for
    any other, StrategyError for sampled or aggregated logs.
    """
    _require(key, KEY_POLICIES, "key policy")
    _require(temperature, TEMPERATURES, "temperature rule")
    if tenant is not None:
        _require(tenant, TENANTS, "tenant column")
    traffic = load(store, since=since, until=until)
    return traffic, demand(traffic, key=key, temperature=cast(Temperature, temperature), tenant=tenant)


def unpriced_calls(traffic: Traffic) -> int:
    """Calls of the window without a price: their hits count, their dollars do not."""
    return int(((traffic.cost == UNPRICED) & traffic.window).sum())


def duration_label(ms: int | None) -> str:
    """A time to live as it is read: `24 h`, `5 m`, `never`."""
    if ms is None:
        return "never"
    for size, unit in ((curves.DAY, "d"), (curves.HOUR, "h"), (curves.MINUTE, "m")):
        if ms % size == 0:
            return "24 h" if ms == curves.DAY else f"{ms // size} {unit}"
    return f"{ms / 1000:g} s"


def _require(name: str, known: Sequence[str] | dict[str, Any], what: str) -> None:
    if name not in known:
        raise InputError(f"unknown {what} '{name}'", remedy=did_you_mean(name, known))


def _of_window(asked: Demand) -> tuple[Requests, Any]:
    """The calls of the window alone: a curve starts with an empty cache."""
    if asked.window.all():
        return asked.requests, asked.worth
    inside = asked.window
    columns = {column.name: getattr(asked.requests, column.name)[inside] for column in fields(asked.requests)}
    return replace(asked.requests, **columns), asked.worth[inside]


def _point(curve: curves.Curve, place: int, name: str) -> dict[str, Any]:
    hits = int(curve.hits[place])
    error = {} if curve.error is None else {"hit_rate_error": float(curve.error[place])}
    return {
        name: int(curve.at[place]),
        "hits": hits,
        "hit_rate": hits / curve.asked if curve.asked else None,
        **error,
        "saved_usd": usd(dollars(int(curve.saved[place]))),
    }
