"""Times a diagnosis of N calls with six dimensions, after ingest; prints seconds and peak memory.

    python -m benchmarks.diagnosis.speed --calls 1000000 10000000

The store is made by SQL: 30 days, 8 agents x 5 tasks x 4 models x 40 templates x 2,000 users, and on the last day one
agent's prompts are longer. Each size is diagnosed three times, each in a process of its own; the median is printed.
Timed: `diagnose()` from opening the store to the finished document, without the start of Python.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from analysis.ledger import CREATE_COSTS, CREATE_LEDGER
from ingest.store import Store

DAYS = 30


def build(path: Path, calls: int) -> Store:
    """A store of `calls` calls with a ledger of plausible, exact amounts."""
    store = Store(path)
    with store.write() as con:
        con.execute("SET preserve_insertion_order = false")
        con.execute(
            f"""INSERT INTO calls BY NAME
            WITH base AS (
                SELECT i AS call_no, hash(i) AS h, hash(i + 1000000007) AS g FROM range({calls}) t(i)
            )
            SELECT call_no, call_no::HUGEINT AS call_key, 0 AS source_id, call_no AS source_row,
                   TIMESTAMP '2024-03-01' + to_microseconds((call_no * {DAYS} * 86400000 // {calls})::BIGINT * 1000)
                       AS start_time,
                   'agent_' || (h % 8) AS agent, 'task_' || (h // 8 % 5) AS task,
                   'openai' AS provider_name, 'model_' || (g % 4) AS model,
                   'template_' || (g // 4 % 40) AS prompt_name, 'user_' || (g // 160 % 2000) AS user_id,
                   'session_' || (call_no // 6) AS conversation_id,
                   (500 + h // 40 % 2000 + CASE WHEN h % 8 = 3 AND call_no >= {calls} / {DAYS} * {DAYS - 1}
                       THEN 4000 ELSE 0 END)::BIGINT AS input_tokens,
                   (h // 80000 % 400)::BIGINT AS cache_read_input_tokens,
                   (100 + g // 320000 % 500)::BIGINT AS output_tokens,
                   1 AS weight, 'ok' AS status, (h % 3000000)::INTEGER AS key_canonical
            FROM base"""
        )
        con.execute(CREATE_LEDGER)
        con.execute(
            """INSERT INTO ledger BY NAME
            SELECT call_no, 1 AS price_id, 'priced' AS cost_status, 0 AS cache_write_usd, 0 AS reasoning_usd,
                   0 AS other_usd, (input_tokens - cache_read_input_tokens) * 0.00001 AS uncached_input_usd,
                   cache_read_input_tokens * 0.000001 AS cache_read_usd, output_tokens * 0.00003 AS output_usd,
                   (input_tokens - cache_read_input_tokens) * 0.00001 + cache_read_input_tokens * 0.000001
                       + output_tokens * 0.00003 AS cost_usd
            FROM calls ORDER BY call_no"""
        )
        con.execute(CREATE_COSTS)
    return store


def once(path: Path) -> None:
    """Diagnose and print seconds, and peak memory in MB."""
    from analysis.diagnosis import diagnose

    start = time.perf_counter()
    found = diagnose(Store(path), by=("agent", "task", "model"))
    found.to_json()
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{spent:.3f} {peak:.0f} {found.causes[0].cause.cause} {found.causes[0].cause.segments}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--store", type=Path, help="diagnose this store once and print the figures")
    args = parser.parse_args()
    if args.store:
        once(args.store)
        return
    for calls in args.calls:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speed.duckdb"
            build(path, calls)
            lines = [
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.diagnosis.speed", "--store", str(path)],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout.split(maxsplit=2)
                for _ in range(3)
            ]
            seconds = statistics.median(float(line[0]) for line in lines)
            peak = max(float(line[1]) for line in lines)
            print(f"{calls:>12,} calls   {seconds:6.2f} s   peak {peak:5.0f} MB   first cause: {lines[0][2].strip()}")


if __name__ == "__main__":
    main()
