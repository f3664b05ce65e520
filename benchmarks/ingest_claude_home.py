"""A Claude Code home of 200,000 calls to a cost table, beside ccusage, in one run.

    npm install ccusage@20        (anywhere; its folder goes to --ccusage)
    python -m benchmarks.ingest_claude_home --ccusage node_modules/.bin/ccusage [--calls 200000]

Writes a seeded home (1.75 rows a call, as content blocks repeat a message), then times `hindcast ingest
--metadata-only` into a fresh store with pricing, `hindcast cost` on that store, and `ccusage daily --offline`. The
token sums and dollars of both are compared with those that were written.
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
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRICES = {"claude-sonnet-4-20250514": (3, 15, 3.75, 0.3), "claude-opus-4-20250514": (15, 75, 18.75, 1.5)}


def write_home(folder: Path, calls: int, files: int = 200, seed: int = 7) -> tuple[int, float]:
    """Transcripts below `folder`/projects. Returns (tokens, dollars)."""
    rng = random.Random(seed)
    start = datetime(2026, 10, 20, tzinfo=UTC)
    tokens, dollars = 0, 0.0
    for number in range(files):
        project = folder / "projects" / f"-home-dev-atlas{number % 10}"
        project.mkdir(parents=True, exist_ok=True)
        clock = start + timedelta(hours=rng.random() * 720)
        with (project / f"session-{number}.jsonl").open("w") as out:
            for turn in range(calls // files):
                clock += timedelta(seconds=rng.randint(5, 90))
                model = rng.choices(list(PRICES), [0.8, 0.2])[0]
                counts = (rng.randint(3, 400), rng.randint(50, 900), rng.randint(0, 4000), rng.randint(2000, 60000))
                usage = dict(zip(("input_tokens", "output_tokens", "cache_creation_input_tokens",
                                  "cache_read_input_tokens"), counts, strict=True))  # fmt: skip
                tokens += sum(counts)
                dollars += sum(count * price for count, price in zip(counts, PRICES[model], strict=True)) / 1e6
                stamp = clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                for part in range(rng.choice([1, 1, 2, 3])):
                    out.write(json.dumps({
                        "type": "assistant", "timestamp": stamp,
                        "sessionId": f"session-{number}", "requestId": f"req_{number}_{turn}", "version": "2.0.0",
                        "cwd": f"/home/dev/atlas{number % 10}", "uuid": f"{number}-{turn}-{part}",
                        "message": {"id": f"msg_{number}_{turn}", "type": "message", "role": "assistant",
                                    "model": model,
                                    "content": [{"type": "text", "text": "x" * rng.randint(50, 800)}], "usage": usage},
                    }, separators=(",", ":")) + "\n")  # fmt: skip
    return tokens, dollars


def run(command: list[str], home: Path) -> tuple[float, str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude"), "PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ccusage", help="its program; left out, only hindcast is timed")
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        tokens, dollars = write_home(home / ".claude", options.calls)
        size = sum(path.stat().st_size for path in home.rglob("*.jsonl"))
        print(f"{options.calls:,} calls, {size / 1e6:,.0f} MB, {tokens:,} tokens, ${dollars:,.2f}")
        hindcast = [sys.executable, "-m", "cli.app"]
        best: dict[str, float] = {}
        for number in range(options.rounds):
            store = str(home / f"{number}.duckdb")
            arguments = ["ingest", str(home / ".claude" / "projects"), "--metadata-only", "--store", store, "--json"]
            spent, text = run([*hindcast, *arguments], home)
            best["hindcast ingest"] = min(spent, best.get("hindcast ingest", spent))
            cost = json.loads(text)["cost_usd"]
            spent, _ = run([*hindcast, "cost", "--by", "day,model", "--store", store, "--json"], home)
            best["hindcast cost, again"] = min(spent, best.get("hindcast cost, again", spent))
            if options.ccusage:
                spent, text = run([options.ccusage, "daily", "--offline", "--json"], home)
                best["ccusage"] = min(spent, best.get("ccusage", spent))
                theirs = json.loads(text)["totals"]
        print(f"hindcast ${float(cost):,.6f}" + (f", ccusage ${theirs['totalCost']:,.6f}" if options.ccusage else ""))
        base = best.get("ccusage", best["hindcast ingest"])
        for name, spent in best.items():
            print(f"{name:22}{spent:8.2f} s{spent / base:8.2f} x")


if __name__ == "__main__":
    main()
