"""Rollouts from end to end: does the bill of the treated lie in the forecast's 90 % interval?

    python -m benchmarks.trust.forecast_rollouts [--worlds 50]

Each world is a program with two agents, weekends, uneven days and questions that come again. It runs for two to four
weeks as it is and then for one to two weeks under a strategy with a holdback, carried out by `hindcast.apply` on a
clock that leaps; only the provider is played. Then `hindcast verify` forecasts from the first part alone. A second set
of worlds has a small model that answers a quarter longer than the strategy's file says, which no forecast can know.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import numpy as np

from analysis.ledger import ledger
from ingest.capture import context, record
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.evaluation.verify import Verification, verify
from replay.live.apply import apply
from replay.strategy import schema

BIG, SMALL = "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"
MONDAY = date(2026, 3, 2)
DAY_S = 86_400.0
ROUTES = {
    "everything to the small model": f"route: [{{default: {SMALL}}}]",
    "one agent to the small model": f"route: [{{match: {{agent: writer}}, model: {SMALL}}}]",
    "a cache": "cache: {max_temperature: 1, tiers: [{name: memory, scope: process, ttl: 2d}]}",
    "both": f"route: [{{match: {{agent: writer}}, model: {SMALL}}}]\n"
    "cache: {max_temperature: 1, tiers: [{name: memory, scope: process, ttl: 2d}]}",
}


@dataclass
class Clock:
    """The time of the simulated program."""

    now: float

    def time(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return round(self.now * 1e9)


@contextmanager
def simulated(clock: Clock) -> Iterator[None]:
    """`time.time` and `time.time_ns` are the clock's within the block."""
    real = time.time, time.time_ns
    time.time, time.time_ns = clock.time, clock.time_ns  # type: ignore[assignment]
    try:
        yield
    finally:
        time.time, time.time_ns = real


def provider(clock: Clock, longer: float) -> httpx2.Client:
    """A client whose provider answers after a second or so; lengths follow from the question and the model."""

    def answered(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        asked = str(body["messages"])
        draw = int.from_bytes(hashlib.sha256(asked.encode()).digest()[:8], "big") / 2**64
        spread = math.exp(0.7 * math.sqrt(2) * _inverse_erf(2 * draw - 1))
        tokens = round(150 * spread * (longer if body["model"] == SMALL else 1.0)) + 1
        clock.now += 0.5 + 0.004 * tokens
        size = len(asked) // 4
        message = {"role": "assistant", "content": f"Answer {draw}"}
        usage = {"prompt_tokens": size, "completion_tokens": tokens, "total_tokens": size + tokens}
        return httpx2.Response(200, json={
            "id": f"chatcmpl-{clock.time_ns()}", "object": "chat.completion", "created": 1770000000,
            "model": body["model"], "usage": usage,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        })  # fmt: skip

    return httpx2.Client(transport=httpx2.MockTransport(answered))


def _inverse_erf(value: float) -> float:
    from scipy.special import erfinv

    return float(erfinv(min(max(value, -1 + 1e-12), 1 - 1e-12)))


def days(client: httpx2.Client, clock: Clock, first: int, number: int, rng: np.random.Generator, traits: Any) -> None:
    """The program's days from `first` on."""
    for day in range(first, first + number):
        weekend = (MONDAY + timedelta(days=day)).weekday() >= 5
        rate = traits.per_day * (traits.weekend if weekend else 1.0) * math.exp(rng.normal(0, traits.uneven))
        starts = np.sort(rng.uniform(7 * 3600, 20 * 3600, rng.poisson(rate)))
        for place, start in enumerate(starts):
            clock.now = max(clock.now + 0.01, _midnight(day) + float(start))
            agent = "writer" if rng.random() < traits.writers else "support"
            for turn in range(1 + int(rng.poisson(traits.turns))):
                question = min(int(rng.pareto(traits.again)), 5000)
                words = 40 + (question * 7919) % 300
                said = f"{agent}, turn {turn}: question {question}. " + "and " * words
                with context(agent=agent, task="answer", conversation_id=f"d{day}-{place}"):
                    client.send(client.build_request(
                        "POST", "https://api.openai.com/v1/chat/completions",
                        json={"model": BIG, "temperature": 0, "messages": [{"role": "user", "content": said}]},
                    ))  # fmt: skip
                clock.now += 5.0


def _midnight(day: int) -> float:
    return (MONDAY - date(1970, 1, 1)).days * DAY_S + day * DAY_S


def world(seed: int, longer: float, folder: Path) -> tuple[str, Verification]:
    """The kind of strategy, and what `verify` says of its rollout."""
    rng = np.random.default_rng(seed)
    kind = list(ROUTES)[seed % len(ROUTES)]
    traits = SimpleNamespace(
        per_day=rng.uniform(25, 60), weekend=rng.uniform(0.4, 1.0), uneven=rng.uniform(0.0, 0.15),
        writers=rng.uniform(0.3, 0.7), turns=rng.uniform(0.5, 2.5), again=rng.uniform(0.4, 1.0),
    )  # fmt: skip
    before, after = int(rng.integers(14, 29)), int(rng.integers(7, 15))
    share = round(float(rng.uniform(0.7, 0.95)), 2)
    (folder / "s.yaml").write_text(
        f"name: chosen\n{ROUTES[kind]}\noutput_ratio: 1.0\nbehaviour: fixed\n"
        f"rollout: {{share: {share}, unit: conversation, seed: {seed}}}\n"
    )
    clock = Clock(_midnight(0))
    logs = [folder / "before.jsonl", folder / "after.jsonl"]
    with simulated(clock):
        plain = provider(clock, longer)
        recorded = record(SimpleNamespace(_client=plain, base_url="https://api.openai.com/v1"), logs[0])
        days(plain, clock, 0, before, rng, traits)
        recorded._hindcast_log.close()
        treated = provider(clock, longer)
        sdk = SimpleNamespace(_client=treated, base_url="https://api.openai.com/v1")
        applied = apply(sdk, folder / "s.yaml", log=logs[1])
        days(treated, clock, before, after, rng, traits)
        applied.hindcast.log.close()
    store = Store(folder / "s.duckdb")
    ingest(store, logs)
    ledger.update(store)
    return kind, verify(store, schema.load(folder / "s.yaml"), rollout=MONDAY + timedelta(days=before))


def run(worlds: int, longer: float) -> None:
    """Print how many bills lie in their intervals, by kind of strategy, and how wide these are."""
    found: list[tuple[str, Verification]] = []
    for seed in range(worlds):
        with tempfile.TemporaryDirectory() as name:
            found.append(world(seed, longer, Path(name)))
    inside = sum(one.inside is True for _, one in found)
    width = np.median([(one.high_pico - one.low_pico) / 2 / max(one.forecast_pico, 1) for _, one in found])
    off = np.array([one.realised_pico / max(one.forecast_pico, 1) - 1 for _, one in found])
    adds = all(sum(part.amount_pico for part in v.drifts) == v.realised_pico - v.forecast_pico for _, v in found)
    effects = [one.effects.effects.get("cost") for _, one in found]
    claimed = sum(one is not None and one.claimed and one.estimate.effect < 0 for one in effects)
    print(f"small model {longer:g} x as long: inside {inside} of {worlds}; half width {width:.1%}, bill over forecast")
    print(f"{np.median(off):+.1%} (mean {off.mean():+.1%}); drifts add up: {adds}; a saving is claimed in {claimed}")
    for kind in ROUTES:
        mine = [(one.inside, one.realised_pico / max(one.forecast_pico, 1) - 1) for what, one in found if what == kind]
        off = np.array([value for _, value in mine])
        print(f"  {kind:<32} inside {sum(ok is True for ok, _ in mine)} of {len(mine)}, {off.mean():+.1%} on average")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=50)
    given = parser.parse_args()
    run(given.worlds, 1.0)
    run(max(given.worlds // 4, 1), 1.25)


if __name__ == "__main__":
    main()
