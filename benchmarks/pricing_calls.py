"""Price ten million calls: our kernel against genai_prices.calc_price in the same run, and cost by day, agent, model.

Timed: reading the calls' columns from the store and pricing them (no write); then the whole ledger update with its
write; then the daily report. The peer prices a sample of the same calls, one call at a time, as its API does. Not
timed: making the calls, imports, the first compilation.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from datetime import UTC
from pathlib import Path

from analysis.ledger.ledger import CHUNK, update
from analysis.ledger.usage_arrays import read_usage, used_kinds
from analysis.pricing.load_rates import load_rates
from analysis.reports.cost import cost
from ingest.store.database import Store
from ingest.store.schema import CALL_COLUMNS

CALLS = int(os.environ.get("HINDCAST_BENCH_CALLS", "10000000"))
SAMPLE = 20_000
MODELS = (
    ("openai", "gpt-4-turbo"), ("openai", "gpt-3.5-turbo"), ("openai", "gpt-4o-2024-08-06"),
    ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"), ("openai", "o3"),
)  # fmt: skip


def make_store(path: Path, calls: int) -> Store:
    """90 days, four agents, six models; context tiers, a price change and cached tokens among them."""
    provider = "[" + ", ".join(f"'{name}'" for name, _ in MODELS) + "]"
    model = "[" + ", ".join(f"'{name}'" for _, name in MODELS) + "]"
    values = {
        "call_no": "i", "call_key": "i::HUGEINT", "source_id": "0", "source_row": "i + 1",
        "start_time": f"TIMESTAMP '2025-05-01' + to_milliseconds((i * {90 * 86_400_000 / calls})::BIGINT)",
        "provider_name": f"{provider}[1 + m]", "model": f"{model}[1 + m]",
        "agent": "['research', 'outline', 'drafting', 'refinement'][1 + (hash(i) % 4)::INT]",
        "input_tokens": "CASE WHEN hash(i + 1) % 50 = 0 THEN 150000 + (hash(i + 2) % 200000)::BIGINT "
        "ELSE (hash(i + 3) % 9000)::BIGINT END",
        "cache_read_input_tokens": "CASE WHEN m > 1 THEN 0 END", "output_tokens": "(hash(i + 4) % 900)::BIGINT",
        "weight": "1", "status": "'ok'", "tokens_source": "'reported'", "content_state": "'absent'",
    }  # fmt: skip
    columns = ", ".join(f"({values.get(name, 'NULL')})::{kind} AS {name}" for name, kind in CALL_COLUMNS.items())
    store = Store(path)
    with store.write() as con:
        con.execute(
            f"INSERT INTO calls SELECT {columns} FROM (SELECT i, (hash(i + 7) % {len(MODELS)})::INT m "
            f"FROM range({calls}) t(i))"
        )
    return store


def price_all(store: Store) -> int:
    """Every call's columns read and priced, chunk by chunk; the total in pico-dollars."""
    total = 0
    with store.read() as con:
        rates = load_rates(con, MODELS)
        kinds = used_kinds(con, "true")
        for low in range(0, CALLS, CHUNK):
            _, _, usage = read_usage(con, MODELS, f"call_no >= {low} AND call_no < {low + CHUNK}", kinds)
            total += int(rates.price(usage).total.sum())
    return total


def peer(store: Store) -> tuple[float, int]:
    """Seconds per call of genai_prices.calc_price over a sample, and the sample's total in pico-dollars."""
    from genai_prices import Usage, calc_price

    with store.read() as con:
        rows = con.execute(
            f"""SELECT provider_name, model, start_time, input_tokens, coalesce(cache_read_input_tokens, 0),
                       output_tokens FROM calls ORDER BY call_no LIMIT {SAMPLE}"""
        ).fetchall()
    calls = [
        (Usage(input_tokens=a, cache_read_tokens=b, output_tokens=c), model, provider, when.replace(tzinfo=UTC))
        for provider, model, when, a, b, c in rows
    ]
    start = time.perf_counter()
    total = sum(
        calc_price(usage, model, provider_id=provider, genai_request_timestamp=when).total_price
        for usage, model, provider, when in calls
    )
    return (time.perf_counter() - start) / len(calls), int(total * 10**12)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "bench.duckdb", CALLS)
        with store.read() as con:  # compile the kernel
            warm = load_rates(con, MODELS)
            warm.price(read_usage(con, MODELS, "call_no < 10")[2])
        seconds = min(_timed(price_all, store) for _ in range(3))
        print(f"priced {CALLS:,} calls in {seconds:.2f} s: {CALLS / seconds / 1e6:.1f} M calls/s")
        each, _ = peer(store)
        print(f"genai_prices.calc_price: {1 / each:,.0f} calls/s; we are {each * CALLS / seconds:,.0f}x as fast")
        seconds = _timed(update, store)
        print(f"ledger written, 10 columns a call: {seconds:.2f} s")
        report = min(_timed(lambda s: cost(s, ("day", "agent", "model")), store) for _ in range(3))
        print(f"daily cost by agent and model: {report:.2f} s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak:,.0f} MB on {os.cpu_count()} processors")


def _timed(work: object, store: Store) -> float:
    start = time.perf_counter()
    work(store)  # type: ignore[operator]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
