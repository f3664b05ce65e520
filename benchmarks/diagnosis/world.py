"""A generated company: agents, tasks, sessions, prompts, caches and a month of traffic, without any cause in it.

Paired worlds share every random number: the world without the injection gives the true dollars of the cause. The log
carries no hint of it. Sizes are small (some hundred calls a day) so that hundreds of cases run in minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

MONDAY = datetime(2024, 10, 7)  # no list price of MODELS changes in the weeks after it
MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-3-5-sonnet-20240620"),
    ("openai", "o1-mini"),
)
UNKNOWN = len(MODELS)  # a model that no price list knows
WEEK = np.array([1.0, 1.05, 1.03, 1.0, 0.95, 0.55, 0.5])
TASKS = ("plan", "search", "draft", "review", "classify", "extract")
LIFE_S = 300.0  # of a provider's cached prefix
CLUSTER = 240.0  # dispersion of a day's sessions: ten an hour


@dataclass(frozen=True)
class Place:
    """One agent's task: how much is asked of it and what its calls look like."""

    agent: str
    task: str
    model: int
    sessions: float  # a day
    turns: float
    first_tokens: float
    growth: float  # tokens that a turn adds
    prefix: float  # share of the first prompt that is fixed
    output: float
    reasoning: float
    batch: float  # share of sessions
    template: str
    aside: float = 0.0  # share of sessions that another model answers
    templates: int = 1


@dataclass(frozen=True)
class World:
    """`holiday` is a day of history on which most people were away, `odd` one with a burst of traffic; -1: none.
    `growth` is the planned rise of the log level from day to day."""

    seed: int
    days: int
    noise: float
    places: tuple[Place, ...]
    users: int
    holiday: int = -1
    odd: int = -1
    unknown: float = 0.0  # share of calls of a model without a price
    growth: float = 0.0

    @classmethod
    def draw(cls, seed: int) -> World:
        rng = np.random.default_rng([seed, 1])
        days = int(rng.integers(29, 36))
        places = []
        for a in range(int(rng.integers(5, 9))):
            weight = rng.lognormal(0, 0.6)
            batch = float(rng.choice([0, 0, 0, 0.8]))
            for task in rng.choice(TASKS, int(rng.integers(2, 5)), replace=False):
                model = int(rng.choice(4, p=[0.5, 0.2, 0.2, 0.1]))
                places.append(
                    Place(
                        agent=f"agent_{a}",
                        task=str(task),
                        model=model,
                        sessions=float(np.clip(9 * weight * rng.lognormal(0, 0.4), 4, 40)),
                        turns=float(rng.uniform(1.2, 3.5)),
                        first_tokens=float(rng.lognormal(7.3, 0.6)),
                        growth=float(rng.lognormal(6, 0.4)),
                        prefix=float(rng.uniform(0.4, 0.9)),
                        output=float(rng.lognormal(5.6, 0.5)),
                        reasoning=float(rng.lognormal(6.2, 0.3)) * (model == 3),
                        batch=batch,
                        template=f"t_{a}_{task}",
                        aside=float(rng.choice([0, 0, 0.15])) * (model == 0),
                        templates=int(rng.integers(1, 4)),
                    )
                )
        return cls(
            seed,
            days,
            float(rng.choice([0.05, 0.12, 0.25])),
            tuple(places),
            int(rng.integers(100, 400)),
            holiday=int(rng.integers(1, days - 2)) if rng.random() < 0.3 else -1,
            odd=int(rng.integers(1, days - 2)) if rng.random() < 0.3 else -1,
            unknown=float(rng.choice([0, 0, 0.01])),
        )

    @property
    def last(self) -> datetime:
        return MONDAY + timedelta(days=self.days - 1)

    def calls(self) -> dict[str, np.ndarray[Any, Any]]:
        """Columns of all calls, unordered. `place`, `day`, `turn` and `draw` are for injections; they do not leave."""
        rng = np.random.default_rng([self.seed, 2])
        level = np.zeros(self.days)
        for d in range(1, self.days):
            level[d] = 0.3 * level[d - 1] + rng.normal(0, self.noise)
        level += self.growth * np.arange(self.days)
        level[[d for d in (self.holiday,) if d >= 0]] -= 0.8
        level[[d for d in (self.odd,) if d >= 0]] += 0.7
        parts = []
        for p, place in enumerate(self.places):
            mean = place.sessions * np.exp(level + rng.normal(0, 0.05, self.days)) * WEEK[np.arange(self.days) % 7]
            counts = rng.poisson(mean * rng.gamma(CLUSTER, 1 / CLUSTER, self.days))
            day = np.repeat(np.arange(self.days), counts)
            parts.append(self._sessions(rng, p, place, day))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _sessions(self, rng: Any, p: int, place: Place, day: Any) -> dict[str, Any]:
        n = len(day)
        turns = 1 + rng.geometric(1 / place.turns, n) - 1
        turns = np.clip(turns, 1, 12)
        user = np.minimum(rng.zipf(1.4, n), self.users)
        start = rng.beta(3, 3, n) * 80_000
        row = np.repeat(np.arange(n), turns)
        turn = np.arange(len(row)) - np.repeat(np.cumsum(turns) - turns, turns)
        gap = rng.lognormal(3.8, 0.9, len(row)) * (turn > 0)
        elapsed = np.cumsum(gap)
        elapsed -= np.repeat(elapsed[np.cumsum(turns) - turns], turns)
        first = (place.first_tokens * rng.lognormal(0, 0.35, n))[row]
        growth = place.growth * rng.lognormal(0, 0.3, len(row))
        tokens = first + np.where(turn > 0, growth * turn, 0)
        fixed = np.full(len(row), place.first_tokens * place.prefix)
        warm = (gap < LIFE_S) & (turn > 0)
        known = np.where(warm, first + growth * np.maximum(turn - 1, 0), np.where(rng.random(len(row)) < 0.6, fixed, 0))
        read = np.minimum(np.floor(known / 128) * 128, np.floor(tokens))
        read[read < 1024] = 0
        reasoning = place.reasoning * rng.lognormal(0, 0.3, len(row))
        model = np.where(rng.random(n) < place.aside, 1, place.model)[row]
        return {
            "place": np.full(len(row), p),
            "day": day[row],
            "turn": turn,
            "session": row + p * 100_000,
            "second": start[row] + elapsed,
            "user": user[row],
            "model": np.where(rng.random(len(row)) < self.unknown, UNKNOWN, model),
            "template": rng.integers(0, place.templates, n)[row],
            "input": np.floor(tokens),
            "read": read,
            "output": np.floor(place.output * rng.lognormal(0, 0.6, len(row))),
            "reasoning": np.floor(reasoning),
            "batch": (rng.random(n) < place.batch)[row],
            "retried": rng.random(len(row)) < 0.02,
            "attempt": np.ones(len(row), np.int64),
            "request": np.arange(len(row)) + p * 1_000_000,
            "key": np.arange(len(row)) + p * 1_000_000,
            "tools": np.full(len(row), 4),
            "cut": rng.random(len(row)) < 0.02,
            "missing": rng.random(len(row)) < 0.002,
            "version": np.zeros(len(row), np.int64),
            "draw": rng.random(len(row)),
            "repriced": np.ones(len(row)),
            "broken": np.zeros(len(row), np.bool_),
        }


def with_retries(c: dict[str, Any]) -> dict[str, Any]:
    """Each call marked `retried` was refused once before it went through."""
    again = {name: values[c["retried"]].copy() for name, values in c.items()}
    again["attempt"] = again["attempt"] + 1
    again["second"] = again["second"] + 5
    return {name: np.concatenate([values, again[name]]) for name, values in c.items()}


def billed(c: dict[str, Any]) -> dict[str, Any]:
    """Token counts as a provider bills them: read and written parts of the input, all output with its reasoning."""
    read = np.minimum(c["read"], c["input"])
    anthropic = c["model"] == 2
    # what OpenAI caches is written for free, what Anthropic caches is billed as a write, again where the prefix broke
    write = np.where(anthropic & ((c["turn"] == 0) | c["broken"]), np.floor((c["input"] - read) * 0.5), 0)
    return {
        "input": c["input"], "read": read, "write": write, "output": c["output"] + c["reasoning"],
        "reasoning": c["reasoning"],
    }  # fmt: skip


def table(world: World, c: dict[str, Any], extra_places: tuple[Place, ...] = ()) -> tuple[pa.Table, Any]:
    """Canonical columns in order of time, ready for the store's `calls`; and each call's factor on its price."""
    places = (*world.places, *extra_places)
    order = np.lexsort((c["request"], c["second"], c["day"]))
    c = {name: values[order] for name, values in c.items()}
    n = len(c["day"])
    micros = (c["day"] * 86_400 + np.clip(c["second"], 0, 86_399)) * 1_000_000
    start = np.datetime64(MONDAY, "us") + micros.astype(np.int64).astype("timedelta64[us]")
    missing = c["missing"]
    bill = billed(c)

    def tokens(values: Any) -> pa.Array:
        return pa.array(values.astype(np.int64), mask=missing)

    def text(values: list[Any]) -> pa.Array:
        return pa.array(values, pa.string())

    def named(names: list[str], codes: Any) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), text(names)).cast(pa.string())

    def numbered(prefix: str, values: Any) -> pa.Array:
        distinct, codes = np.unique(values, return_inverse=True)
        return named([f"{prefix}{value}" for value in distinct], codes)

    models = [*MODELS, ("openai", "a-model-of-our-own")]
    columns = pa.table(
        {
            "call_no": np.arange(n),
            "call_key": pa.array(np.arange(n)),
            "source_id": np.zeros(n, np.int32),
            "source_row": np.arange(n) + 1,
            "start_time": pa.array(start),
            "agent": named([p.agent for p in places], c["place"]),
            "task": named([p.task for p in places], c["place"]),
            "prompt_name": named(
                [f"{p.template}_{t}" for p in places for t in range(9)], c["place"] * 9 + c["template"]
            ),
            "prompt_version": numbered("v", c["version"]),
            "provider_name": named([m[0] for m in models], c["model"]),
            "request_model": named([m[1] for m in models], c["model"]),
            "model": named([m[1] for m in models], c["model"]),
            "user_id": numbered("u", c["user"]),
            "conversation_id": text([f"s{d}-{s}" for d, s in zip(c["day"], c["session"], strict=True)]),
            "request_id": numbered("r", c["request"]),
            "attempt": pa.array(c["attempt"].astype(np.int16)),
            "status": named(["ok", "error"], c["retried"] & (c["attempt"] == 1)),
            "is_batch": pa.array(c["batch"].astype(bool)),
            "input_tokens": tokens(bill["input"]),
            "cache_read_input_tokens": tokens(bill["read"]),
            "cache_creation_input_tokens": tokens(bill["write"]),
            "output_tokens": tokens(bill["output"]),
            "reasoning_output_tokens": tokens(bill["reasoning"]),
            "tokens_source": named(["reported", "missing"], missing),
            "finish_reason": named(["stop", "length"], c["cut"]),
            "max_tokens": np.full(n, 4096),
            "tool_count": pa.array(c["tools"].astype(np.int16)),
            "key_canonical": pa.array(c["key"].astype(np.int32)),
            "weight": pa.array(np.ones(n)),
            "content_state": named(["absent"], np.zeros(n)),
        }
    )
    return columns, c["repriced"]
