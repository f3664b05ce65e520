"""The cache lab's figures: curves of a cache over the log, by the functions behind `hindcast cache`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from typing import Any

from analysis.calendar_days import DAY_MS
from analysis.money import dollars
from ingest.store.database import Store

ROOMS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)


@dataclass(frozen=True)
class Point:
    """A cache of one life (ms) or one size (entries): share of calls served, dollars saved a day."""

    at: int
    label: str
    rate: float
    saved: Decimal


@dataclass(frozen=True)
class CacheCurves:
    """Dollars are a day of the window. `keys`: policy, hits, hit rate, saved a day, share answered differently."""

    asked: int
    spent: Decimal
    lives: list[Point]
    rooms: list[Point]
    keys: list[tuple[Any, ...]]
    repeated: int
    one_answer: int


def cache_curves(store: Store, since: date | None, until: date | None, key: str, temperature: Any) -> CacheCurves:
    """As `hindcast cache curve`. Raises StrategyError for sampled or aggregated logs."""
    from replay.response_cache import curves, key_policies
    from replay.response_cache.lookups import demand
    from replay.traffic.load_traffic import load

    traffic = load(store, since=since, until=until)
    asks = demand(traffic, key=key, temperature=temperature)
    inside = asks.window
    columns = {one.name: getattr(asks.requests, one.name)[inside] for one in fields(asks.requests)}
    requests, worth = replace(asks.requests, **columns), asks.worth[inside]
    days = _days(since, until, asks.days)
    by_life = curves.ttl_curve(requests, worth)
    by_room = curves.capacity_curve(requests, worth)
    known = len(by_room.at)
    rooms = [*(room - 1 for room in ROOMS if room < known), *([known - 1] if known else [])]
    policies = key_policies.compare(traffic, temperature=temperature) if by_life.asked else []
    return CacheCurves(
        asked=by_life.asked,
        spent=dollars(sum(int(one) for one in worth)) / days,
        lives=_points(by_life, range(len(by_life.at)), days, [_life(int(at)) for at in by_life.at]),
        rooms=_points(by_room, rooms, days, [f"{int(by_room.at[number]):,}" for number in rooms]),
        keys=[(p.name, p.hits, p.hit_rate, dollars(p.saved) / days, p.repeats.false_share) for p in policies],
        repeated=policies[0].repeats.groups_compared if policies else 0,
        one_answer=policies[0].repeats.groups_one_answer if policies else 0,
    )


def misses(store: Store, since: date | None, until: date | None) -> list[tuple[Any, ...]]:
    """As `hindcast cache doctor`: template, what varies, token, calls, dollars a day by moving and by masking."""
    from replay.provider_cache.doctor import diagnose
    from replay.traffic.load_traffic import load

    found = diagnose(load(store, since=since, until=until))
    days = _days(since, until, found.days)
    return [
        (
            f"{one.agents[0] if one.agents and one.agents[0] else '(none)'} / {one.task or '(none)'}: {one.role}",
            ", ".join(dict.fromkeys(str(slot.kind) for slot in one.slots)),
            one.position,
            one.calls,
            dollars(one.moved) / days,
            dollars(one.masked) / days,
        )
        for one in found.findings
    ]


def _days(since: date | None, until: date | None, called: int) -> int:
    """How many days a mean is over: those of the window, with calls or without, as on the other pages."""
    return (until - since).days + 1 if since and until else max(called, 1)


def _points(curve: Any, numbers: Sequence[int], days: int, labels: Sequence[str]) -> list[Point]:
    return [
        Point(int(curve.at[n]), label, int(curve.hits[n]) / max(curve.asked, 1), dollars(int(curve.saved[n])) / days)
        for n, label in zip(numbers, labels, strict=True)
    ]


def _life(ms: int) -> str:
    for size, unit in ((DAY_MS, "d"), (3_600_000, "h"), (60_000, "min")):
        if ms % size == 0:
            return "24 h" if ms == DAY_MS else f"{ms // size} {unit}"
    return f"{ms / 1000:g} s"
