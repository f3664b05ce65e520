"""The memory of a program under `hindcast.apply`: calls through an HTTP client whose transport answers at once.

Prints the resident memory after every tenth of them. Questions, agents and conversations are new all the time, so
whatever is remembered of each would show.

    python -m benchmarks.live_memory --calls 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

STRATEGY = """
name: all stages
compress: [whitespace]
route_by: conversation
route:
  - {match: {agent: "writer*"}, cascade: [gpt-4o-mini, gpt-4o], escalate: {when: "finish_reason = 'length'"}}
  - {when: "input_words > 40", model: gpt-4o}
on_error: gpt-4.1
cache:
  in_flight: coalesced
  tiers: [{name: memory, scope: process, ttl: 30s, max_entries: 5000}]
"""
PLAIN = """
name: rules and memory
route: [{match: {agent: "writer*"}, model: gpt-4o-mini}, {when: "input_words > 40", model: gpt-4o}]
cache: {in_flight: coalesced, tiers: [{name: memory, scope: process, ttl: 5s}]}
"""
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mb() -> float:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def main() -> None:
    """Run the calls."""
    import httpx2

    from ingest.capture import context
    from replay.live.apply import apply

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--all-stages", action="store_true", help="with compression, cascade, fallback and sessions")
    chosen = parser.parse_args()
    rng = random.Random(1)

    def answer(request: Any) -> Any:
        body = json.loads(request.content)
        if rng.random() < 0.002:
            return httpx2.Response(500, json={"error": {"message": "no", "code": "down"}})
        reason = "length" if rng.random() < 0.05 else "stop"
        message = {"role": "assistant", "content": "Yes. " * 20}
        return httpx2.Response(200, json={
            "id": f"chatcmpl-{time.time_ns()}", "object": "chat.completion", "created": 1770000000,
            "model": body["model"], "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40},
        })  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_text(STRATEGY if chosen.all_stages else PLAIN)
        http = httpx2.Client(transport=httpx2.MockTransport(answer))
        client = apply(SimpleNamespace(_client=http, base_url="https://api.openai.com/v1"), path, log="/dev/null")
        started = time.perf_counter()
        for number in range(1, chosen.calls + 1):
            words = "and  more " * rng.randrange(60)
            said = [{"role": "user", "content": f"Question {int(rng.paretovariate(0.6)) % 10**9}. {words}"}]
            with context(agent=f"{rng.choice(['writer', 'reader'])} {number % 50}", conversation_id=f"c{number // 5}"):
                http.post("https://api.openai.com/v1/chat/completions",
                          json={"model": "gpt-4-turbo", "temperature": 0, "messages": said},
                          headers={"authorization": "Bearer k"})  # fmt: skip
            if number % (chosen.calls // 10) == 0:
                client.hindcast.log.flush(600)
                took = time.perf_counter() - started
                print(
                    f"{number:>9,} calls  {resident_mb():6.0f} MB  {took:6.0f} s  load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
        print(dict(client.hindcast.counts), f"lines lost: {client.hindcast.log.lost}")


if __name__ == "__main__":
    main()
