"""A strategy on live calls of several threads and processes, with a real Redis, against the replay of what it logged.

Counts the calls whose model and cache tier differ, and compares the dollars of those that do not.

    python -m benchmarks.live_against_replay --calls 50000 --threads 8 --processes 2
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STRATEGY = """
name: routed and cached
route:
  - {match: {agent: drafting_agent, task: "section*"}, model: gpt-4o-mini}
  - {when: "input_words > 60", model: gpt-4o}
cache:
  skip: [{match: {agent: clock_agent}}]
  tiers:
    - {name: memory, scope: process, ttl: 2s, max_entries: 300}
    - {name: redis, scope: shared, ttl: 20s}
"""
AGENTS = (("drafting_agent", "section_draft"), ("drafting_agent", "outline"), ("refinement_agent", "critique"),
          ("clock_agent", "tick"), ("research_agent", "gather"))  # fmt: skip


class _Provider(BaseHTTPRequestHandler):
    """Answers a chat after a few milliseconds."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(0.002)
        size = len(str(body["messages"])) // 4
        answer = {
            "id": f"chatcmpl-{time.time_ns()}", "object": "chat.completion", "created": 1770000000,
            "model": body["model"], "usage": {"prompt_tokens": size, "completion_tokens": 40,
                                              "total_tokens": size + 40},
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        }  # fmt: skip
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve(port: int) -> None:
    """The provider, in a process of its own."""
    ThreadingHTTPServer(("127.0.0.1", port), _Provider).serve_forever()


def work(folder: Path, port: int, redis: int, calls: int, threads: int, seed: int) -> None:
    """One process of the program."""
    import openai

    from ingest.capture import context
    from replay.live.apply import apply

    client = openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)
    apply(client, folder / "s.yaml", log=folder / f"calls-{seed}.jsonl", redis=f"redis://127.0.0.1:{redis}/0")

    def ask(number: int) -> None:
        rng = random.Random(seed * 1_000_003 + number)
        agent, task = rng.choice(AGENTS)
        question = f"Question {min(int(rng.paretovariate(0.9)), 3000)} " + "and more " * rng.choice([0, 0, 40])
        with context(agent=agent, task=task, conversation_id=f"s{number // 20}"):
            client.chat.completions.create(
                model="gpt-4-turbo", temperature=0, messages=[{"role": "user", "content": question}]
            )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ask, range(calls)))
    client.hindcast.log.close()
    print(dict(client.hindcast.counts), file=sys.stderr)


def compare(folder: Path) -> None:
    """Print how many calls the replay decides otherwise, and the dollars of the others."""
    from analysis.ledger.ledger import update
    from ingest.pipeline.run import ingest
    from ingest.store.database import Store
    from replay.engine.call_frame import replay_calls
    from replay.strategy.schema import load

    store = Store(folder / "s.duckdb")
    logs = sorted(folder.glob("calls-*.jsonl"))
    ingest(store, logs, text=False, hash_key=None)
    update(store)
    lines = {str(log): [json.loads(line) for line in log.read_text().splitlines()] for log in logs}
    with store.read() as con:
        rows = con.execute("SELECT call_no, path, source_row FROM calls JOIN sources USING (source_id)").fetchall()
    logged = {}
    for call, path, row in rows:
        line = lines[path][row - 1]
        logged[call] = line["response_model"], line.get("cache_tier")
    same = Counter[bool]()
    kinds: Counter[str] = Counter()
    ours = theirs = 0
    for row in replay_calls(store, load(folder / "s.yaml")).iter_rows(named=True):
        model, tier = logged[row["call_no"]]
        equal = (model, tier) == (row["model"], row["cache_tier"])
        same[equal] += 1
        if equal:
            ours, theirs = ours + (row["cost_usd"] or 0), theirs + (row["logged_cost_usd"] or 0)
        else:
            kinds[
                f"{model} from {tier or 'the model'}: replayed as {row['model']} from {row['cache_tier'] or 'it'}"
            ] += 1
    total = sum(same.values())
    print(f"{total:,} calls; decided otherwise: {same[False]:,} ({100 * same[False] / total:.3f} %)")
    for kind, count in kinds.most_common():
        print(f"  {count:,} {kind}")
    print(
        f"dollars of the calls decided alike: replayed {ours}, logged {theirs}: {'equal' if ours == theirs else 'NOT'}"
    )


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
    chosen = parser.parse_args()
    server = shutil.which("redis-server")
    if server is None:
        print("redis-server is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        folder, port, redis = Path(name), _free(), _free()
        (folder / "s.yaml").write_text(STRATEGY)
        module = "from benchmarks import live_against_replay as program; from pathlib import Path"
        beside = [
            subprocess.Popen([server, "--port", str(redis), "--save", "", "--dir", name], stdout=subprocess.DEVNULL),
            subprocess.Popen([sys.executable, "-c", f"{module}; program.serve({port})"]),
        ]
        try:
            time.sleep(1.5)
            each = chosen.calls // chosen.processes
            programs = [
                subprocess.Popen(
                    [sys.executable, "-c", f"{module}; program.work(Path({name!r}), {port}, {redis}, {each}, "
                     f"{chosen.threads}, {seed})"]
                )
                for seed in range(chosen.processes)
            ]  # fmt: skip
            if any(program.wait() for program in programs):
                raise SystemExit("a program failed")
            compare(folder)
        finally:
            for process in beside:
                process.kill()


if __name__ == "__main__":
    main()
