"""A strategy on live calls of several threads and processes, with a real Redis, against the replay of what it logged.

The calls are those of the demo's pipeline, with their texts, and ChatDev's questions where a log of them is given, each
asked twice, the second time up to a thousand calls later. Counts the calls whose model, cache outcome or tier the
replay of the log decides otherwise, by kind, and compares the dollars of those that it decides alike.

    python -m benchmarks.live_against_replay --calls 50000 --threads 8 --processes 2 --chatdev chatdev_calls.jsonl.zst
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

STRATEGY = """
name: routed and cached
route:
  - {match: {agent: "draft*"}, model: gpt-4o-mini}
  - {match: {agent: "refine*"}, cascade: [gpt-4o-mini, gpt-4o], escalate: {when: "finish_reason = 'length'"}}
  - {when: "input_words > 600", model: gpt-4o}
on_error: gpt-4.1
cache:
  in_flight: coalesced
  skip: [{match: {task: "*fact*"}}]
  tiers:
    - {name: memory, scope: process, ttl: 5s, max_entries: 300}
    - {name: redis, scope: shared, ttl: 60s}
"""
COMPRESS = 'compress: [whitespace, {history_window: {messages: 12, when: "input_words > 4000"}}]\n'
AGAIN = 1000  # calls later a call comes again, at most
REDIS_S = 2.0  # Redis is waited for, so that a full machine does not look like a Redis that is gone


class _Provider(BaseHTTPRequestHandler):
    """Answers a chat after a few milliseconds; of a question's digest depends whether it is cut off or fails."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = json.dumps(body["messages"])
        digest = hashlib.sha256(said.encode()).digest()
        time.sleep(0.002)
        if digest[0] == 0 and body["model"] != "gpt-4.1":
            self._send(500, {"error": {"message": "no", "code": "down"}})
            return
        cut = digest[1] < 26 and body["model"] == "gpt-4o-mini"
        size = len(said) // 4
        message = {"role": "assistant", "content": digest.hex()}
        self._send(200, {
            "id": f"chatcmpl-{time.time_ns()}", "object": "chat.completion", "created": 1770000000,
            "model": body["model"], "usage": {"prompt_tokens": size, "completion_tokens": 40,
                                              "total_tokens": size + 40},
            "choices": [{"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}],
        })  # fmt: skip

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve(port: int) -> None:
    """The provider, in a process of its own."""
    ThreadingHTTPServer(("127.0.0.1", port), _Provider).serve_forever()


def workload(folder: Path, calls: int, chatdev: Path | None) -> list[dict[str, Any]]:
    """The calls in the order in which they are asked."""
    import zstandard

    from sample_logs.generate import Traffic, generate

    def lines(path: Path) -> Iterator[dict[str, Any]]:
        with zstandard.open(path, "rt", encoding="utf-8") as file:
            yield from (json.loads(line) for line in file)

    rng = random.Random(22)
    once = [{"agent": call["agent"] or "assistant", "task": call.get("phase") or "chat", "session": call["session_id"],
             "messages": call["messages"]}
            for call in (lines(chatdev) if chatdev else ()) if call["messages"]]  # fmt: skip
    rng.shuffle(once)
    days = 2 + calls // 2 // 1600  # before its spike the pipeline makes some 1,800 calls a day
    logs = generate(folder / "demo", days=days, traffic=Traffic(text_every=(1, 1)))
    demo = ({"agent": call["agent"], "task": call["task"], "session": call["conversation_id"],
             "messages": call["input_messages"]}
            for log in logs for call in lines(log) if "content" in call["input_messages"][0])  # fmt: skip
    made = list(islice(demo, max(calls // 2 - len(once), 0)))
    for call in once:
        made.insert(rng.randrange(len(made) + 1), call)
    places = list(enumerate(made))
    again = [(place + rng.randrange(1, AGAIN), call) for place, call in enumerate(made)]
    return [call for _, call in sorted([*places, *again], key=lambda one: one[0])][:calls]


def work(folder: Path, port: int, redis: int, threads: int, number: int) -> None:
    """One process of the program."""
    import openai
    from redis import Redis

    from ingest.capture import context
    from replay.live.apply import apply

    client = openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)
    server = Redis(port=redis, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S)
    apply(client, folder / "s.yaml", log=folder / f"calls-{number}.jsonl", redis=server)

    def ask(line: str) -> None:
        call = json.loads(line)
        with context(agent=call["agent"], task=call["task"], conversation_id=call["session"]):
            client.chat.completions.create(model="gpt-4-turbo", temperature=0, messages=call["messages"])

    with (folder / f"work-{number}.jsonl").open() as file, ThreadPoolExecutor(threads) as pool:
        list(pool.map(ask, file))
    client.hindcast.log.close()
    print(dict(client.hindcast.counts), file=sys.stderr)


def compare(folder: Path, *, text: bool) -> None:
    """Print how many calls the replay decides otherwise, and the dollars of the others."""
    from analysis.ledger.ledger import update
    from ingest.pipeline.run import ingest
    from ingest.store.database import Store
    from replay.engine.call_frame import replay_calls
    from replay.strategy.schema import load

    store = Store(folder / "s.duckdb")
    logs = sorted(folder.glob("calls-*.jsonl"))
    ingest(store, logs, text=text)
    update(store)
    with store.read() as con:
        rows = con.execute("SELECT call_no, path, source_row FROM calls JOIN sources USING (source_id)").fetchall()
    lines = {str(log): log.read_text().splitlines() for log in logs}
    logged = {}
    for call, path, row in rows:
        line = json.loads(lines[path][row - 1])
        model = line.get("response_model") or line["request_model"]
        logged[call] = model, line.get("cache") or "sent", line.get("cache_tier")
    del lines
    same = Counter[bool]()
    kinds: Counter[str] = Counter()
    ours = theirs = 0
    for row in replay_calls(store, load(folder / "s.yaml")).iter_rows(named=True):
        outcome = row["outcome"] if row["outcome"] in ("hit", "coalesced") else "sent"
        replayed = row["model"], outcome, row["cache_tier"]
        equal = logged[row["call_no"]] == replayed
        same[equal] += 1
        if equal:
            ours, theirs = ours + (row["cost_usd"] or 0), theirs + (row["logged_cost_usd"] or 0)
        else:
            kinds[f"{_told(*logged[row['call_no']])}: replayed as {_told(*replayed)}"] += 1
    total = sum(same.values())
    print(f"{total:,} calls; decided otherwise: {same[False]:,} ({100 * same[False] / total:.3f} %)")
    for kind, count in kinds.most_common():
        print(f"  {count:,} {kind}")
    print(f"dollars of those decided alike: replayed {ours}, logged {theirs}: {'equal' if ours == theirs else 'NOT'}")


def _told(model: str, outcome: str, tier: str | None) -> str:
    return f"{model} {tier or outcome}"


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    """Run the program's processes, then the replay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--chatdev", type=Path)
    parser.add_argument("--compress", action="store_true", help="with compressors too")
    parser.add_argument("--keep", type=Path, help="a folder for the logs and the store")
    chosen = parser.parse_args()
    server = shutil.which("redis-server")
    if server is None:
        print("redis-server is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        folder, port, redis = chosen.keep or Path(name), _free(), _free()
        (folder / "s.yaml").write_text(STRATEGY + (COMPRESS if chosen.compress else ""))
        made = workload(folder, chosen.calls, chosen.chatdev)
        for number in range(chosen.processes):
            mine = "".join(json.dumps(call) + "\n" for call in made[number :: chosen.processes])
            (folder / f"work-{number}.jsonl").write_text(mine)
        print(f"{len(made):,} calls; load {os.getloadavg()[0]:.1f}")
        module = "from benchmarks import live_against_replay as program; from pathlib import Path"
        beside = [
            subprocess.Popen([server, "--port", str(redis), "--save", "", "--dir", name], stdout=subprocess.DEVNULL),
            subprocess.Popen([sys.executable, "-c", f"{module}; program.serve({port})"]),
        ]
        try:
            time.sleep(1.5)
            programs = [
                subprocess.Popen(
                    [sys.executable, "-c", f"{module}; program.work(Path({str(folder)!r}), {port}, {redis}, "
                     f"{chosen.threads}, {number})"]
                )
                for number in range(chosen.processes)
            ]  # fmt: skip
            if any(program.wait() for program in programs):
                raise SystemExit("a program failed")
            compare(folder, text=chosen.compress)
        finally:
            for process in beside:
                process.kill()


if __name__ == "__main__":
    main()
