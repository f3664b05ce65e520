"""The causes that a case can hold: each changes the calls of one place on the last day, by a given amount.

`size` is the wanted increase as a share of the day's cost; what it really cost is measured by pricing both worlds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.diagnosis.world import Place, World

Calls = dict[str, Any]
# dollars per token, roughly, per model of the world: to choose intensities, never to score
_IN = np.array([2.5e-6, 0.15e-6, 3e-6, 3e-6])
_OUT = np.array([10e-6, 0.6e-6, 15e-6, 12e-6])


@dataclass(frozen=True)
class Injection:
    cause: str
    factor: str
    segment: dict[str, str]
    places: tuple[Place, ...] = ()  # new ones


def rough_cost(c: Calls) -> Any:
    paid = np.where(c["batch"], 0.5, 1.0)
    fresh = c["input"] - 0.5 * c["read"]
    return paid * (fresh * _IN[c["model"]] + (c["output"] + c["reasoning"]) * _OUT[c["model"]])


def scopes(world: World, calls: Calls) -> list[dict[str, str]]:
    """Agents, and agents' tasks, with at least a thirtieth of the last day's cost."""
    last = calls["day"] == world.days - 1
    cost = rough_cost(calls) * last
    found: list[dict[str, str]] = []
    for agent in sorted({p.agent for p in world.places}):
        mine = [i for i, p in enumerate(world.places) if p.agent == agent]
        if cost[np.isin(calls["place"], mine)].sum() > cost.sum() / 30:
            found.append({"agent": agent})
        for i in mine:
            if cost[calls["place"] == i].sum() > cost.sum() / 30:
                found.append({"agent": agent, "task": world.places[i].task})
    return found


def inject(world: World, calls: Calls, cause: str, size: float, rng: Any) -> tuple[Calls, Injection] | None:
    """The calls with the cause in them, or None where this world has no place for it."""
    last = calls["day"] == world.days - 1
    want = size * float(rough_cost(calls)[last].sum())
    options = scopes(world, calls)
    rng.shuffle(options)
    for segment in options:
        held = np.array([all(getattr(p, k) == v for k, v in segment.items()) for p in world.places])
        mask = last & held[calls["place"]]
        if mask.sum() < 5:
            continue
        made = CAUSES[cause](world, {k: v.copy() for k, v in calls.items()}, mask, want, segment, rng)
        if made is not None:
            return made
    return None


def _append(c: Calls, more: Calls) -> Calls:
    return {name: np.concatenate([c[name], more[name]]) for name in c}


def _copies(c: Calls, mask: Any, want: float, rng: Any, *, least: int = 1) -> Calls:
    """Copies of whole calls of the mask, drawn until they are worth `want`."""
    rows = np.flatnonzero(mask)
    worth = rough_cost(c)[rows]
    n = max(least, round(want / max(float(worth.mean()), 1e-12)))
    pick = rng.choice(rows, n)
    return {name: values[pick].copy() for name, values in c.items()}


def _fresh(c: Calls, more: Calls, *names: str) -> None:
    for name in names:
        more[name] = 50_000_000 + np.arange(len(more["day"])) + int(c[name].max()) * (name == "session")


def _grown(c: Calls, mask: Any, name: str, want: float, price: Any) -> float | None:
    """The factor by which `name` must grow to cost `want` more, if that is believable."""
    base = float((c[name] * price * np.where(c["batch"], 0.5, 1.0))[mask].sum())
    factor = 1 + want / base if base > 0 else np.inf
    return factor if factor < 30 else None


def new_agent(world, c, mask, want, segment, rng):
    place = Place("agent_new", "draft", 0, 1, 1, 1, 1, 0, 1, 0, 0, "t_new")
    more = _copies(c, mask, want, rng)
    _fresh(c, more, "session", "request", "key")
    more["place"] = np.full(len(more["day"]), len(world.places))
    return _append(c, more), Injection("new_agent", "new_segment", {"agent": "agent_new"}, (place,))


def model_switch(world, c, mask, want, segment, rng):
    to = 2
    prices = (c["input"] - 0.5 * c["read"]) * (_IN[to] - _IN[c["model"]]) + c["output"] * (_OUT[to] - _OUT[c["model"]])
    gain = np.where(mask & (c["model"] == 1) & ~c["batch"], prices, 0)
    if gain.sum() < want or (gain > 0).sum() < 10:
        return None
    moved = (gain > 0) & (c["draw"] < want / gain.sum())
    # the place is where the cheap model ran: only those calls can move
    held = set(np.unique(c["place"][moved]))
    if {world.places[i].agent for i in held} != {segment["agent"]} or len(held) > 1:
        return None
    c["model"][moved] = to
    place = world.places[next(iter(held))]
    return c, Injection("model_switch", "model_mix", {"agent": place.agent, "task": place.task})


def prompt_growth(world, c, mask, want, segment, rng):
    extra = want / float((_IN[c["model"]] * np.where(c["batch"], 0.5, 1.0))[mask].sum())
    c["input"][mask] = np.floor(c["input"][mask] + extra)
    c["version"][mask] = 1
    return c, Injection("prompt_growth", "input_tokens", segment)


def context_accumulation(world, c, mask, want, segment, rng):
    base = float((c["turn"] * _IN[c["model"]] * np.where(c["batch"], 0.5, 1.0))[mask].sum())
    if base <= 0 or (c["turn"][mask] > 0).mean() < 0.35:
        return None
    c["input"][mask] = np.floor(c["input"] + c["turn"] * want / base)[mask]
    return c, Injection("context_accumulation", "input_tokens", segment)


def loop(world, c, mask, want, segment, rng):
    if len(np.unique(c["place"][mask])) > 1:
        return None
    requests = rng.choice(np.unique(c["request"][mask]), 2, replace=False)
    more = _copies(c, mask & np.isin(c["request"], requests), want, rng, least=10)
    more["second"] = more["second"] + rng.random(len(more["second"])) * 3000
    _fresh(c, more, "key")
    return _append(c, more), Injection("loop", "calls_per_request", segment)


def retry_storm(world, c, mask, want, segment, rng):
    more = _copies(c, mask, want, rng)
    more["attempt"] = more["attempt"] + 1 + rng.integers(0, 3, len(more["attempt"]))
    more["second"] = more["second"] + 5
    return _append(c, more), Injection("retry_storm", "calls_per_request", segment)


def cache_breakage(world, c, mask, want, segment, rng):
    lost = float((c["read"] * _IN[c["model"]] * 0.5 * np.where(c["batch"], 0.5, 1.0))[mask].sum())
    if lost < want:
        return None
    hit = mask & (c["draw"] < want / lost)
    c["read"][hit] = 0
    return c, Injection("cache_breakage", "cache_read_share", segment)


def output_growth(world, c, mask, want, segment, rng):
    factor = _grown(c, mask, "output", want, _OUT[c["model"]])
    if factor is None:
        return None
    c["output"][mask] = np.floor(c["output"][mask] * factor)
    return c, Injection("output_growth", "output_tokens", segment)


def reasoning_growth(world, c, mask, want, segment, rng):
    if (c["model"][mask] != 3).any():
        return None
    factor = _grown(c, mask, "reasoning", want, _OUT[c["model"]])
    if factor is None:
        return None
    c["reasoning"][mask] = np.floor(c["reasoning"][mask] * factor)
    return c, Injection("reasoning_growth", "reasoning_tokens", segment)


def traffic(world, c, mask, want, segment, rng):
    more = _copies(c, mask, want, rng)
    _fresh(c, more, "session", "request", "key")
    more["second"] = rng.beta(3, 3, len(more["second"])) * 80_000
    more["user"] = np.minimum(rng.zipf(1.4, len(more["user"])), world.users)
    return _append(c, more), Injection("traffic", "volume", segment)


def batch_to_realtime(world, c, mask, want, segment, rng):
    gain = np.where(mask & c["batch"], rough_cost(c), 0)
    if gain.sum() < want:
        return None
    held = np.unique(c["place"][gain > 0])
    if len(held) > 1:
        return None
    c["batch"] &= ~((gain > 0) & (c["draw"] < want / gain.sum()))
    place = world.places[held[0]]
    return c, Injection("batch_to_realtime", "batch_share", {"agent": place.agent, "task": place.task})


def tool_bloat(world, c, mask, want, segment, rng):
    if "task" in segment:
        return None
    made = prompt_growth(world, c, mask, want, segment, rng)
    made[0]["version"][mask] = 0
    made[0]["tools"][mask] = 19
    return made[0], Injection("tool_bloat", "input_tokens", segment)


def duplicate_calls(world, c, mask, want, segment, rng):
    more = _copies(c, mask & ~c["retried"], want, rng)
    _fresh(c, more, "session", "request")
    more["second"] = more["second"] + rng.random(len(more["second"])) * 5000
    more["retried"][:] = False
    return _append(c, more), Injection("duplicate_calls", "volume", segment)


def user_surge(world, c, mask, want, segment, rng):
    user = int(rng.integers(5, world.users))
    more = _copies(c, mask, want, rng)
    _fresh(c, more, "session", "request", "key")
    more["session"] = more["session"] // 3
    more["user"] = np.full(len(more["user"]), user)
    return _append(c, more), Injection("user_surge", "volume", {**segment, "user": f"u{user}"})


def long_session(world, c, mask, want, segment, rng):
    if "task" not in segment:
        return None
    session = rng.choice(np.unique(c["session"][mask]))
    more = _copies(c, mask & (c["session"] == session), want, rng, least=10)
    _fresh(c, more, "request", "key")
    more["second"] = more["second"] + rng.random(len(more["second"])) * 4000
    return _append(c, more), Injection("long_session", "volume", segment)


def price_change(world, c, mask, want, segment, rng):
    """Marks calls; the scorer dates the price of their model from this day on."""
    if "task" not in segment:
        return None
    base = float(rough_cost(c)[mask].sum())
    c["repriced"] = np.where(mask, 1 + want / base, 1.0)
    return c, Injection("price_change", "price", segment)


def usage_missing(world, c, mask, want, segment, rng):
    c["missing"] |= mask & (c["draw"] < 0.9)
    return c, Injection("usage_missing", "volume", segment)


CAUSES: dict[str, Callable[..., tuple[Calls, Injection] | None]] = {
    f.__name__: f
    for f in (
        new_agent, model_switch, prompt_growth, context_accumulation, loop, retry_storm, cache_breakage, output_growth,
        reasoning_growth, traffic, price_change, batch_to_realtime, tool_bloat, duplicate_calls, user_surge,
        long_session, usage_missing,
    )
}  # fmt: skip
