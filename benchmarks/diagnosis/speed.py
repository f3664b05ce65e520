"""Times a diagnosis of N calls with six dimensions, after ingest; prints seconds, CPU seconds and peak memory.

    python -m benchmarks.diagnosis.speed --calls 1000000 10000000 --case prompts retries surge scattered

The store is made by SQL: 30 days, 8 agents x 5 tasks x 4 models x 40 templates x 2,000 users. What happens on the last
day, and how the calls lie in the store:

    prompts    one agent's prompts are longer
    retries    one agent asks again, in its own requests
    surge      one agent takes calls from all others
    scattered  as prompts, with long names and ids that are hashes, and calls from seven files, each over all days

Each is diagnosed three times, each in a process of its own; the median is printed. Timed: `diagnose()` from opening
the store to the finished document, without the start of Python.
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
from typing import Final

from analysis.ledger.costs_view import CREATE_COSTS, CREATE_LEDGER
from ingest.store.database import Store

DAYS: Final = 30
FILES: Final = 7
CASES: Final = ("prompts", "retries", "surge", "scattered")
BY: Final = ("agent", "task", "model")


def build(path: Path, calls: int, case: str = "prompts") -> Store:
    """A store of `calls` calls with a ledger of plausible, exact amounts."""
    store = Store(path)
    scattered = case == "scattered"
    last = f"nth >= {calls} // {DAYS} * {DAYS - 1}"
    agent = f"CASE WHEN {last} AND g % 3 = 0 THEN 3 ELSE h % 8 END" if case == "surge" else "h % 8"
    prompt = f"CASE WHEN h % 8 = 3 AND {last} THEN 4000 ELSE 0 END" if case in ("prompts", "scattered") else "0"
    retry = f"h % 8 = 3 AND {last} AND g % 2 = 0" if case == "retries" else "false"
    name = "research_department_" if scattered else ""
    number = "md5(call_no::VARCHAR)" if scattered else "'request_' || call_no"
    session = "md5((nth // 6)::VARCHAR)" if scattered else "'session_' || (nth // 6)"
    with store.write() as con:
        con.execute("SET preserve_insertion_order = true")
        con.execute(
            f"""INSERT INTO calls BY NAME
            WITH numbers AS (
                SELECT i AS call_no, {f"i * {FILES} % {calls} + i * {FILES} // {calls}" if scattered else "i"} AS nth
                FROM range({calls}) t(i)
            ), base AS (
                SELECT call_no, nth, hash(nth) AS h, hash(nth + 1000000007) AS g FROM numbers
            )
            SELECT call_no, call_no::HUGEINT AS call_key, 0 AS source_id, call_no AS source_row,
                   TIMESTAMP '2024-03-01' + to_microseconds((nth * {DAYS} * 86400000 // {calls})::BIGINT * 1000)
                       AS start_time,
                   '{name}agent_' || ({agent}) AS agent, '{name}task_' || (h // 8 % 5) AS task,
                   'openai' AS provider_name, '{name}model_' || (g % 4) AS model,
                   '{name}template_' || (g // 4 % 40) AS prompt_name, '{name}user_' || (g // 160 % 2000) AS user_id,
                   {session} AS conversation_id, {number} AS request_id,
                   CASE WHEN {retry} THEN 2 ELSE 1 END AS attempt,
                   (500 + h // 40 % 2000 + {prompt})::BIGINT AS input_tokens,
                   (h // 80000 % 400)::BIGINT AS cache_read_input_tokens,
                   (100 + g // 320000 % 500)::BIGINT AS output_tokens,
                   1 AS weight, CASE WHEN {retry} THEN 'error' ELSE 'ok' END AS status,
                   (h % 3000000)::INTEGER AS key_canonical
            FROM base ORDER BY call_no"""
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


def _peak_mb() -> float:
    """The most memory this process has held. What getrusage tells is that of the process which started it, if more."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line[:6] == "VmHWM:") / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def once(path: Path, by: list[str]) -> None:
    """Diagnose and print seconds, CPU seconds, peak memory in MB, and the first cause."""
    from analysis.diagnosis.diagnose import diagnose
    from analysis.diagnosis.document import to_json

    start, cpu = time.perf_counter(), time.process_time()
    found = diagnose(Store(path), by=by)
    to_json(found)
    spent, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{spent:.3f} {cpu:.3f} {_peak_mb():.0f} {found.causes[0].cause.cause} {found.causes[0].cause.segments}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--case", nargs="+", choices=CASES, default=["prompts"])
    parser.add_argument("--by", nargs="+", default=list(BY), help="the dimensions of a segment")
    parser.add_argument("--keep", type=Path, help="make the stores in this folder, or use those that are there")
    parser.add_argument("--store", type=Path, help="diagnose this store once and print the figures")
    args = parser.parse_args()
    if args.store:
        once(args.store, args.by)
        return
    with tempfile.TemporaryDirectory() as folder:
        for calls in args.calls:
            for case in args.case:
                path = (args.keep or Path(folder)) / f"{case}-{calls}.duckdb"
                if not path.exists():
                    build(path, calls, case)
                command = [sys.executable, "-m", "benchmarks.diagnosis.speed", "--store", str(path), "--by", *args.by]
                lines = [
                    subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(maxsplit=3)
                    for _ in range(3)
                ]
                seconds, cpu = (statistics.median(float(line[i]) for line in lines) for i in (0, 1))
                peak = max(float(line[2]) for line in lines)
                print(
                    f"{case:>9} {calls:>12,} calls   {seconds:6.2f} s   CPU {cpu:6.2f} s   peak {peak:5.0f} MB   "
                    f"first cause: {lines[0][3].strip()}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
