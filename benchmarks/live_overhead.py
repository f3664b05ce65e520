"""What `hindcast.apply` adds to a call: rules and a look-up in memory, beside the SDK and a bare sha256 key."""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai

from ingest.capture import context
from replay.live.answer_tiers import Answer
from replay.live.apply import Applied

CALLS = 3000
STRATEGY = """
name: routed and cached
route:
  - {match: {agent: writer, task: "draft*"}, model: gpt-4o-mini}
  - {when: "input_words > 1500", model: gpt-4o}
cache: {tiers: [{name: memory, scope: process, ttl: 1h}]}
"""
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1770000000, "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes. " * 50}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
}  # fmt: skip


def asked(number: int) -> dict[str, Any]:
    """A prompt of some 1,400 characters, one of 500."""
    said = [{"role": "system", "content": "You plan articles. " * 60},
            {"role": "user", "content": f"Question {number % 500}. " + "And why? " * 20}]  # fmt: skip
    return {"model": "gpt-4-turbo", "temperature": 0, "messages": said}


def median_us(work: Callable[[int], object]) -> float:
    """Of `CALLS` runs, in microseconds."""
    times = []
    for number in range(CALLS):
        start = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def main() -> None:
    """Print the medians and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_text(STRATEGY)
        applied = Applied(path, log=Path(folder) / "calls.jsonl", redis=None, prefix="", text=True)
        body = json.dumps(ANSWER).encode()
        requests = [
            httpx2.Request(
                "POST", "https://api.openai.com/v1/chat/completions", content=json.dumps(asked(number)).encode()
            )
            for number in range(CALLS)
        ]

        def decide(number: int) -> None:
            plan = applied.plan(requests[number], None)
            assert plan is not None
            if plan.served is None and plan.key is not None:
                applied.tiers[0].put(plan.key, Answer(body, "application/json", "gpt-4o-mini"), None, 0)

        with context(agent="writer", task="draft"):
            ours = median_us(decide)
        naive = median_us(lambda number: hashlib.sha256(json.dumps(asked(number), sort_keys=True).encode()).hexdigest())
        sdk = openai.OpenAI(
            api_key="k",
            http_client=httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=body))),
        )
        alone = median_us(lambda number: sdk.chat.completions.create(**asked(number)))
        counts = applied.counts
        applied.log.flush()
    print(f"decision and look-up {ours:.0f} us ({counts['hit: memory']:,} hits of {CALLS:,})")
    print(f"a bare sha256 of the payload {naive:.0f} us: {ours / naive:.1f} times it")
    print(f"the SDK's own work for a call without network {alone:.0f} us: {ours / alone:.2f} of it")


if __name__ == "__main__":
    main()
