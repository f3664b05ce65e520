"""The causes that a case can hold: each changes the calls of one place on the last day, by a given amount.

`size` is the wanted increase as a share of the day's cost; what it really cost is measured by pricing both worlds. A
cause comes as a step (from midnight, or from an hour on), as a burst of three hours, or as a ramp over five days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.diagnosis.world import MODELS, Place, World

Calls = dict[str, Any]
# dollars per token, roughly, per model of the world: to choose intensities, never to score
_IN = np.array([2.5e-6, 0.15e-6, 3e-6, 3e-6, 0])
_OUT = np.array([10e-6, 0.6e-6, 15e-6, 12e-6, 0])
_OFF = np.array([0.5, 0.5, 0.9, 0.5, 0])  # what a cached token saves
RAMP_DAYS = 5
# what can grow from day to day; a new agent or price is there or not, a runaway session is of one day
RAMPS = (
    "model_switch", "prompt_growth", "context_accumulation", "retry_storm", "cache_breakage", "output_growth",
    "reasoning_growth", "traffic", "batch_to_realtime", "tool_bloat", "duplicate_calls",
)  # fmt: skip
WHOLE_DAY = ("price_change", "usage_missing")


@dataclass(frozen=True)
class Injection:
    cause: str
    factor: str
    segment: dict[str, str]
    places: tuple[Place, ...] = ()  # new ones
    shape: str = "step"


@dataclass(frozen=True)
class Shape:
    """When a cause acts: `first` and `last` second of the day, and its size on each of the last days."""

    name: str
    first: float = 0.0
    last: float = 86_400.0

    @classmethod
    def draw(cls, cause: str, rng: Any) -> Shape:
        kinds = ["step"] if cause in WHOLE_DAY else ["step", "onset", "burst"]
        kinds += ["ramp"] if cause in RAMPS else []
        name = str(rng.choice(kinds))
        if name == "onset":
            return cls(name, 3600.0 * int(rng.integers(2, 13)))
        if name == "burst":
            begin = 3600.0 * int(rng.integers(6, 16))
            return cls(name, begin, begin + 3 * 3600)
        return cls(name)

    def days(self, world: World) -> list[tuple[int, float]]:
        """(day, part of the full size)."""
        if self.name != "ramp":
            return [(world.days - 1, 1.0)]
        return [(world.days - RAMP_DAYS + i, (i + 1) / RAMP_DAYS) for i in range(RAMP_DAYS)]


def rough_cost(c: Calls) -> Any:
    paid = np.where(c["batch"], 0.5, 1.0)
    fresh = c["input"] - _OFF[c["model"]] * c["read"]
    return paid * (fresh * _IN[c["model"]] + (c["output"] + c["reasoning"]) * _OUT[c["model"]])


def members(world: World, segment: dict[str, str]) -> list[int]:
    """The places that a segment of agents and tasks holds."""
    return [i for i, p in enumerate(world.places) if all(getattr(p, k) == v for k, v in segment.items())]


def scopes(world: World, calls: Calls) -> list[dict[str, str]]:
    """Agents, tasks of several agents, and agents' tasks, with at least a thirtieth of the last day's cost."""
    last = calls["day"] == world.days - 1
    cost = np.bincount(calls["place"], rough_cost(calls) * last, len(world.places))
    agents = sorted({p.agent for p in world.places})
    tasks = sorted({p.task for p in world.places})
    options: list[dict[str, str]] = [{"agent": a} for a in agents if len(members(world, {"agent": a})) > 1]
    options += [{"task": t} for t in tasks if len(members(world, {"task": t})) > 1]
    options += [{"agent": p.agent, "task": p.task} for p in world.places]
    return [segment for segment in options if cost[members(world, segment)].sum() > cost.sum() / 30]


def overlap(world: World, one: dict[str, str], other: dict[str, str]) -> bool:
    return bool(set(members(world, one)) & set(members(world, other)))


def inject(
    world: World,
    calls: Calls,
    cause: str,
    want: float,
    seed: Sequence[int],
    *,
    options: Sequence[dict[str, str]],
    shape: Shape,
) -> tuple[Calls, Injection] | None:
    """The calls with the cause in them, worth about `want` dollars on the last day, in one of the segments `options`;
    None where this world has no place for it. Equal seeds and options choose the same places and calls."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(options))
    chosen = int(rng.integers(2**31))
    for at in order:
        segment = options[at]
        held = np.zeros(len(world.places) + 9, np.bool_)
        held[members(world, segment)] = True
        made: Calls | None = {k: v.copy() for k, v in calls.items()}
        found = None
        for day, part in shape.days(world):
            if made is None:
                break
            within = (made["second"] >= shape.first) & (made["second"] < shape.last)
            mask = (made["day"] == day) & within & held[np.minimum(made["place"], len(held) - 1)]
            mask &= made["model"] < len(_IN) - 1
            if mask.sum() < (5 if part == 1.0 else 2):
                made = None
                break
            got = CAUSES[cause](world, made, mask, want * part, segment, np.random.default_rng([chosen, day]))
            made, found = got if got is not None else (None, None)
        if made is not None and found is not None:
            return made, Injection(found.cause, found.factor, found.segment, found.places, shape.name)
    return None


def _append(c: Calls, more: Calls) -> Calls:
    return {name: np.concatenate([c[name], more[name]]) for name in c}


def _copies(c: Calls, mask: Any, want: float, rng: Any, *, least: int = 1) -> Calls:
    """Copies of single calls of the mask, drawn until they are worth `want`."""
    rows = np.flatnonzero(mask)
    worth = rough_cost(c)[rows]
    n = max(least, round(want / max(float(worth.mean()), 1e-12)))
    pick = rng.choice(rows, n)
    return {name: values[pick].copy() for name, values in c.items()}


def _more_sessions(c: Calls, mask: Any, want: float, rng: Any) -> Calls:
    """Copies of whole sessions of the mask under new names, drawn until they are worth `want`."""
    rows = np.flatnonzero(mask)
    rows = rows[np.lexsort((c["turn"][rows], c["session"][rows]))]
    edge = np.flatnonzero(np.diff(c["session"][rows], prepend=-1))
    worth = np.add.reduceat(rough_cost(c)[rows], edge)
    length = np.diff(np.append(edge, len(rows)))
    n = max(1, round(want / max(float(worth.mean()), 1e-12)))
    pick = rng.integers(0, len(edge), n)
    each = np.repeat(np.arange(n), length[pick])
    inside = np.arange(len(each)) - np.repeat(np.cumsum(length[pick]) - length[pick], length[pick])
    take = rows[edge[pick][each] + inside]
    more = {name: values[take].copy() for name, values in c.items()}
    more["session"] = int(c["session"].max()) + 1 + each
    _fresh(c, more, "request", "key")
    return more


def _fresh(c: Calls, more: Calls, *names: str) -> None:
    for name in names:
        more[name] = int(c[name].max()) + 1 + np.arange(len(more["day"]))


def _shifted(more: Calls, seconds: float, rng: Any) -> None:
    more["second"] = np.minimum(more["second"] + rng.random(len(more["second"])) * seconds, 86_399)


def _grown(c: Calls, mask: Any, name: str, want: float, price: Any) -> float | None:
    """The factor by which `name` must grow to cost `want` more, if that is believable."""
    base = float((c[name] * price * np.where(c["batch"], 0.5, 1.0))[mask].sum())
    factor = 1 + want / base if base > 0 else np.inf
    return factor if factor < 30 else None


def new_agent(world, c, mask, want, segment, rng):
    place = Place("agent_new", "draft", 0, 1, 1, 1, 1, 0, 1, 0, 0, "t_new")
    more = _more_sessions(c, mask, want, rng)
    more["place"] = np.full(len(more["day"]), len(world.places))
    return _append(c, more), Injection("new_agent", "new_segment", {"agent": "agent_new"}, (place,))


def model_switch(world, c, mask, want, segment, rng):
    to = 2
    prices = (c["input"] - 0.5 * c["read"]) * (_IN[to] - _IN[c["model"]]) + c["output"] * (_OUT[to] - _OUT[c["model"]])
    cheap = mask & (c["model"] == 1) & ~c["batch"]
    gain = np.where(cheap, prices, 0)
    # the cheap model must be what the place runs, so that the move shows in all of it
    if (
        gain.sum() < want
        or cheap.sum() < 0.6 * mask.sum()
        or len(np.unique(c["place"][mask])) != len(np.unique(c["place"][cheap]))
    ):
        return None
    c["model"][cheap & (c["draw"] < want / gain.sum())] = to
    return c, Injection("model_switch", "model_mix", segment)


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
    _shifted(more, 3000, rng)
    more["retried"][:] = False
    _fresh(c, more, "key")
    return _append(c, more), Injection("loop", "calls_per_request", segment)


def retry_storm(world, c, mask, want, segment, rng):
    more = _copies(c, mask, want, rng)
    more["attempt"] = more["attempt"] + 1 + rng.integers(0, 3, len(more["attempt"]))
    more["second"] = more["second"] + 5
    more["retried"][:] = False
    return _append(c, more), Injection("retry_storm", "calls_per_request", segment)


def cache_breakage(world, c, mask, want, segment, rng):
    lost = float((c["read"] * _IN[c["model"]] * _OFF[c["model"]] * np.where(c["batch"], 0.5, 1.0))[mask].sum())
    if lost < want:
        return None
    hit = mask & (c["draw"] < want / lost)
    c["broken"] |= hit & (c["read"] > 0)
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
    more = _more_sessions(c, mask, want, rng)
    users = np.minimum(rng.zipf(1.4, len(more["user"])), world.users)
    more["user"] = users[np.unique(more["session"], return_inverse=True)[1]]
    return _append(c, more), Injection("traffic", "volume", segment)


def batch_to_realtime(world, c, mask, want, segment, rng):
    gain = np.where(mask & c["batch"], rough_cost(c), 0)
    if gain.sum() < want or (c["batch"] & mask).sum() < 0.6 * mask.sum():
        return None
    c["batch"] &= ~((gain > 0) & (c["draw"] < want / gain.sum()))
    return c, Injection("batch_to_realtime", "batch_share", segment)


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
    _shifted(more, 5000, rng)
    return _append(c, more), Injection("duplicate_calls", "volume", segment)


def user_surge(world, c, mask, want, segment, rng):
    user = int(rng.integers(5, world.users))
    more = _more_sessions(c, mask, want, rng)
    more["user"] = np.full(len(more["user"]), user)
    return _append(c, more), Injection("user_surge", "volume", {**segment, "user": f"u{user}"})


def long_session(world, c, mask, want, segment, rng):
    if len(segment) < 2:
        return None
    session = rng.choice(np.unique(c["session"][mask]))
    more = _copies(c, mask & (c["session"] == session), want, rng, least=10)
    _fresh(c, more, "request", "key")
    _shifted(more, 4000, rng)
    more["retried"][:] = False
    return _append(c, more), Injection("long_session", "volume", segment)


def price_change(world, c, mask, want, segment, rng):
    """Marks calls, which the scorer bills by another price list: one place's own contract, or a model's list price."""
    if rng.random() < 0.5:
        model = int(np.bincount(c["model"][mask]).argmax())
        mask = (c["day"] == world.days - 1) & (c["model"] == model)
        segment = {"model": MODELS[model][1]}
    base = float(rough_cost(c)[mask].sum())
    c["repriced"] = np.where(mask, 1 + want / base, c["repriced"])
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
