"""What `hindcast.apply` adds to a call: rules and a look-up in memory or Redis, beside the SDK and a bare sha256 key.

And what `hindcast.record` adds, which only writes the call down.

Redis is a server of this machine, where one is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai

from ingest.capture import context, record
from ingest.capture.log_line import Captured, make
from replay.live.apply import Applied
from replay.live.conduct import Conductor
from replay.live.steps import run

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


def decider(path: Path, redis: str | None) -> tuple[Callable[[int], object], Applied]:
    """What becomes of request `number` until it is answered or sent; what would be sent is answered and kept."""
    applied = Applied(path, log=path.with_name("calls.jsonl"), redis=redis, prefix="", text=True)
    conductor = Conductor(applied.log, applied.count, None)
    body = json.dumps(ANSWER).encode()
    url = "https://api.openai.com/v1/chat/completions"
    requests = [httpx2.Request("POST", url, content=json.dumps(asked(number)).encode()) for number in range(CALLS)]
    answers = [httpx2.Response(200, content=body, request=request) for request in requests]

    def decide(number: int) -> None:
        """The look-up is timed, and what keeps an answer: not the transport between them."""

        def send(request: httpx2.Request) -> httpx2.Response:
            seen = Captured("openai", {}, "/v1/chat/completions", request.content, time.time(), 0.0, None, 200, [body],
                            None, None)  # fmt: skip
            applied.log.put(make, seen, True)
            return answers[number]

        run(conductor.conduct(applied.force(), requests[number], 0), send, (), {})

    return decide, applied


@contextlib.contextmanager
def redis_server(folder: str) -> Iterator[str | None]:
    """The address of a server of its own; None where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [program, "--port", str(port), "--save", "", "--dir", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(1.0)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def offline_client() -> openai.OpenAI:
    """A client whose requests are answered at once, without a network."""
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, content=json.dumps(ANSWER).encode()))
    return openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=answer))


def main() -> None:
    """Print the medians and their ratios."""
    with tempfile.TemporaryDirectory() as folder, redis_server(folder) as address:
        path = Path(folder) / "s.yaml"
        path.write_text(STRATEGY)
        decide, applied = decider(path, None)
        with context(agent="writer", task="draft"):
            ours = median_us(decide)
        hits = applied.counts["hit: memory"]
        applied.log.flush()
        naive = median_us(lambda number: hashlib.sha256(json.dumps(asked(number), sort_keys=True).encode()).hexdigest())
        sdk = offline_client()
        alone = median_us(lambda number: sdk.chat.completions.create(**asked(number)))
        recorded = record(offline_client(), Path(folder) / "recorded.jsonl")
        captured = median_us(lambda number: recorded.chat.completions.create(**asked(number)))
        print(f"load {os.getloadavg()[0]:.1f}")
        print(f"decision and look-up {ours:.0f} us ({hits:,} hits of {CALLS:,})")
        print(f"a bare sha256 of the payload {naive:.0f} us: {ours / naive:.1f} times it")
        print(f"the SDK's own work for a call without network {alone:.0f} us: {ours / alone:.2f} of it")
        print(f"the same, recorded, {captured:.0f} us: {captured - alone:.0f} us more")
        if address is None:
            print("redis-server is not installed")
            return
        path.write_text(STRATEGY.replace("{name: memory, scope: process, ttl: 1h}", "{name: redis, ttl: 1h}"))
        decide, applied = decider(path, address)
        with context(agent="writer", task="draft"):
            ours = median_us(decide)
        print(f"decision and look-up in Redis {ours:.0f} us ({applied.counts['hit: redis']:,} hits of {CALLS:,})")
        applied.log.flush()


if __name__ == "__main__":
    main()
