"""The calls behind the samples: made up by a seeded generator, so that every format can be held against one truth."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

_TOPICS = ("tides", "volcanoes", "glaciers", "river deltas", "coral reefs", "deserts", "storms", "caves")
_AGENTS = (("research_agent", "gather"), ("drafting_agent", "draft"), ("refinement_agent", "critique"))
_WORDS = (
    "water", "stone", "wind", "light", "slow", "deep", "cold", "warm", "old", "new", "far", "near", "high", "low",
    "wide", "thin",
)  # fmt: skip


# model -> nano-dollars per input, cached and output token
_PRICES = (
    ("gpt-4o-2024-08-06", (2500, 1250, 10000)),
    ("gpt-4.1-mini-2025-04-14", (400, 100, 1600)),
    ("o3-mini-2025-01-31", (1100, 550, 4400)),
)


@dataclass(frozen=True)
class TrueCall:
    """One call with all that any format can say about it. Counts are inclusive."""

    id: str
    start: datetime
    duration_ms: int
    model: str
    agent: str
    task: str
    session: str
    user: str
    messages: list[dict[str, Any]] = field(hash=False)
    answer: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    temperature: float = 0.2
    cost: str = "0"

    @property
    def end(self) -> datetime:
        return self.start + timedelta(milliseconds=self.duration_ms)

    @property
    def trace_id(self) -> str:
        return hashlib.sha256(self.session.encode()).hexdigest()[:32]

    @property
    def span_id(self) -> str:
        return hashlib.sha256(self.id.encode()).hexdigest()[:16]


def true_calls(count: int, seed: int = 11) -> list[TrueCall]:
    """`count` calls to OpenAI models; some read the prompt cache, some reason, none is like another."""
    rng = random.Random(seed)
    start = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    calls = []
    for number in range(count):
        agent, task = rng.choice(_AGENTS)
        topic = rng.choice(_TOPICS)
        model, price = rng.choice(_PRICES)
        start += timedelta(seconds=rng.randint(3, 90), milliseconds=rng.randint(0, 999))
        asked = rng.randint(60, 4000)
        cached = 128 * rng.randint(0, asked // 256) if rng.random() < 0.5 else 0
        made = rng.randint(5, 600)
        reasoning = rng.randint(1, made) if model.startswith("o3") else 0
        nano = (asked - cached) * price[0] + cached * price[1] + made * price[2]
        calls.append(
            TrueCall(
                id=f"chatcmpl-sample{seed:02}{number:06}",
                start=start,
                duration_ms=rng.randint(200, 9000),
                model=model,
                agent=agent,
                task=task,
                session=f"session-{number // 4:04}",
                user=f"user-{number % 7}",
                messages=[
                    {"role": "system", "content": f"You are the {agent}. Write about the sea and the land."},
                    {"role": "user", "content": f"Tell me about {topic}: {' '.join(rng.choices(_WORDS, k=12))}?"},
                ],
                answer=" ".join(rng.choices(_WORDS, k=rng.randint(4, 30))),
                input_tokens=asked,
                cached_tokens=cached,
                output_tokens=made,
                reasoning_tokens=reasoning,
                cost=f"{nano // 10**9}.{nano % 10**9:09d}",
            )
        )
    return calls
