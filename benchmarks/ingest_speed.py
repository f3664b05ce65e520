"""Ingest speed and memory beside a plain-Python json loop over the same file, in one run.

    python -m benchmarks.ingest_speed [--calls 250000] [--folder DIR]

Writes a seeded log of OpenAI request and response pairs (about 3.5 KB a call, sessions that resend their history,
interleaved as real traffic is), then times, each in a process of its own:
- a loop over the lines with the standard library's json that sums the tokens by model: the least any reader does;
- `hindcast ingest --metadata-only` and plain `hindcast ingest`, into a fresh store, without pricing;
- with --count-tokens, the token counting that the first replay would do.
CPU and peak memory are those of the process and its workers, sampled five times a second: looking at a process's memory
stops it for some milliseconds. Ratios matter, and CPU seconds more than wall seconds on a machine that others use too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AGENTS = ("research", "outline", "drafting", "refinement")
MODELS = ("gpt-4-turbo", "gpt-4o", "gpt-4o-mini", "gpt-4.1")

LOOP = """
import json, sys
totals = {}
with open(sys.argv[1], "rb") as lines:
    for line in lines:
        call = json.loads(line)
        usage = call["response"]["usage"]
        key = (call["agent"], call["response"]["model"])
        asked, made = totals.get(key, (0, 0))
        totals[key] = (asked + usage["prompt_tokens"], made + usage["completion_tokens"])
assert totals
"""
INGEST = """
import sys, json
from ingest.pipeline.run import ingest
from ingest.store.database import Store
if __name__ == "__main__":
    store = Store(sys.argv[2])
    report = ingest(store, [sys.argv[1]], metadata_only=sys.argv[3] == "metadata")
    assert report.calls, report
"""
COUNT = """
import sys
from ingest.store.database import Store
from ingest.contents.tokenizer import ensure_counted
if __name__ == "__main__":
    assert ensure_counted(Store(sys.argv[2]), ["o200k_base"])
"""


def write_log(path: Path, calls: int, seed: int = 7) -> int:
    """A log of `calls` calls; returns its size in bytes."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(rng.choices(letters, k=max(1, round(rng.gauss(5, 2))))) for _ in range(20_000)]
    pool = rng.choices(words, weights=[1 / (rank + 2) for rank in range(len(words))], k=1_000_000)

    def text(count: int) -> str:
        start = rng.randrange(len(pool) - count)
        return " ".join(pool[start : start + count])

    systems = {agent: text(160) for agent in AGENTS}
    open_sessions: list[tuple[str, str, str, list[dict[str, str]], int]] = []
    clock = 1_760_000_000.0
    with path.open("w") as out:
        for number in range(calls):
            if len(open_sessions) < 500 or rng.random() < 0.3:
                agent = rng.choice(AGENTS)
                session = (f"session-{number}", agent, rng.choice(MODELS),
                           [{"role": "system", "content": systems[agent]}], rng.randint(1, 6))  # fmt: skip
                open_sessions.append(session)
            position = rng.randrange(len(open_sessions))
            name, agent, model, messages, turns = open_sessions[position]
            messages.append({"role": "user", "content": text(max(5, round(rng.lognormvariate(3.97, 0.6))))})
            answer = text(max(5, round(rng.lognormvariate(3.97, 0.6))))
            clock += rng.expovariate(2.0)
            asked = sum(len(message["content"]) for message in messages) // 4
            made = len(answer) // 4
            record = {
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(clock)) + f".{int(clock * 1e3) % 1000:03}Z",
                "agent": agent, "task": rng.choice(("gather", "write", "edit", "check")), "session_id": name,
                "latency_ms": round(rng.lognormvariate(7, 0.5), 1),
                "request": {"model": model, "temperature": 0.7, "max_tokens": 1024, "messages": messages},
                "response": {
                    "id": f"chatcmpl-{number:012d}", "object": "chat.completion", "created": int(clock), "model": model,
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": answer},
                                 "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made,
                              "prompt_tokens_details": {"cached_tokens": 0}},
                },
            }  # fmt: skip
            out.write(json.dumps(record, separators=(",", ":")) + "\n")
            messages.append({"role": "assistant", "content": answer})
            if turns <= 1:
                open_sessions[position] = open_sessions[-1]
                open_sessions.pop()
            else:
                open_sessions[position] = (name, agent, model, messages, turns - 1)
    return path.stat().st_size


def timed(code: str, *arguments: str) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak MB) of a Python program with all its workers."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "program.py"
        script.write_text(code)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, str(script), *arguments], env=environment, start_new_session=True)
        peak = 0.0
        spent: dict[str, int] = {}
        while process.poll() is None:
            peak = max(peak, look(process.pid, spent))
            time.sleep(0.2)
        wall = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"a measured program failed: {arguments}")
        return wall, sum(spent.values()) / os.sysconf("SC_CLK_TCK"), peak


def look(session: int, spent: dict[str, int]) -> float:
    """Resident MB of all processes of a session, shared pages split among them; notes each one's CPU ticks."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
            spent[entry.name] = int(fields[11]) + int(fields[12])
            for line in (entry / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=250_000)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the log and the stores go (default: temporary)"
    )
    parser.add_argument("--count-tokens", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        log = folder / "calls.jsonl"
        size = write_log(log, options.calls)
        print(f"{options.calls:,} calls, {size / 1e6:,.0f} MB, {size / options.calls:,.0f} bytes a call")
        runs = {"plain json loop": (LOOP, "", "")}
        runs["ingest, metadata only"] = (INGEST, str(folder / "metadata.duckdb"), "metadata")
        runs["ingest, full text"] = (INGEST, str(folder / "text.duckdb"), "text")
        if options.count_tokens:
            runs["token counting"] = (COUNT, str(folder / "text.duckdb"), "")
        base = 0.0
        heads = ("calls/s", "MB/s", "wall s", "CPU s", "us/call", "peak MB", "CPU x loop")
        print(f"{'':24}" + "".join(f"{head:>11}" for head in heads))
        for name, (code, store, mode) in runs.items():
            wall, cpu, peak = timed(code, str(log), store, mode)
            base = base or cpu
            shown = (
                f"{options.calls / wall:,.0f}", f"{size / wall / 1e6:.0f}", f"{wall:.1f}", f"{cpu:.1f}",
                f"{cpu / options.calls * 1e6:.1f}", f"{peak:.0f}", f"{cpu / base:.1f}",
            )  # fmt: skip
            print(f"{name:24}" + "".join(f"{one:>11}" for one in shown), flush=True)
        for name in ("metadata", "text"):
            print(f"{name}.duckdb: {(folder / f'{name}.duckdb').stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
