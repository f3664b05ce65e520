"""Ingest and replay of one month against a plain Python loop that does the same job, in one run.

Ingest: OpenAI chat pairs with full text, 3.5 KB a call, messages stored once. The loop decodes each line with the
standard library, hashes each message and request, and keeps texts and metadata in SQLite.
Replay: one strategy (a route rule, two cache tiers, exact pico-dollar prices) over a million calls without text. The
loop applies the same rule and the same two tiers with dictionaries and prices with integers.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from array import array
from collections import OrderedDict
from pathlib import Path

import numpy as np

INGEST_CALLS = int(os.environ.get("HINDCAST_BENCH_INGEST", "60000"))
REPLAY_CALLS = int(os.environ.get("HINDCAST_BENCH_REPLAY", "1000000"))

STRATEGY = """
name: bench
route:
  - {match: {task: task_1}, model: gpt-3.5-turbo}
cache:
  key: canonical
  tiers:
    - {name: memory, scope: process, ttl: 5m, max_entries: 10000, policy: lru}
    - {name: redis, scope: shared, ttl: 24h}
"""


def write_log(path: Path, calls: int) -> None:
    """Sessions of one to six turns that resend their history, from a seeded vocabulary."""
    rng = np.random.default_rng(11)
    words = np.array(["".join(chr(97 + c) for c in rng.integers(0, 26, 5)) for _ in range(5000)])

    def text(size: int) -> str:
        return " ".join(words[rng.zipf(1.3, size) % len(words)])

    systems = [text(150) for _ in range(8)]
    written = 0
    with path.open("w") as out:
        while written < calls:
            messages = [{"role": "system", "content": systems[rng.integers(8)]}]
            for _turn in range(int(rng.integers(1, 7))):
                messages.append({"role": "user", "content": text(110)})
                answer = {"role": "assistant", "content": text(60)}
                record = {
                    "request": {"model": "gpt-4o", "temperature": 0.2, "messages": list(messages)},
                    "response": {
                        "id": f"chatcmpl-{written}",
                        "object": "chat.completion",
                        "created": 1_709_000_000 + written,
                        "model": "gpt-4o-2024-08-06",
                        "choices": [{"index": 0, "finish_reason": "stop", "message": answer}],
                        "usage": {"prompt_tokens": 900, "completion_tokens": 120, "total_tokens": 1020},
                    },
                }
                out.write(json.dumps(record) + "\n")
                messages.append(answer)
                written += 1
                if written == calls:
                    return


def plain_ingest(path: Path, store: Path) -> int:
    """The same job as simply as Python allows: decode, hash each message and the request, keep new texts and the
    metadata in SQLite. One key policy instead of five, no quarantine, no resuming.
    """
    con = sqlite3.connect(store)
    con.execute(
        "CREATE TABLE calls (id TEXT PRIMARY KEY, created INT, model TEXT, input INT, output INT, key BLOB, ids BLOB)"
    )
    con.execute("CREATE TABLE contents (id INTEGER PRIMARY KEY, text TEXT)")
    seen: dict[bytes, int] = {}
    count = 0
    with path.open("rb") as log:
        for line in log:
            record = json.loads(line)
            request, response = record["request"], record["response"]
            ids = []
            new = []
            for message in [*request["messages"], response["choices"][0]["message"]]:
                body = json.dumps(message, sort_keys=True)
                digest = hashlib.sha256(body.encode()).digest()
                number = seen.get(digest)
                if number is None:
                    number = seen[digest] = len(seen)
                    new.append((number, body))
                ids.append(number)
            key = hashlib.sha256(repr((ids[:-1], request["temperature"])).encode()).digest()
            usage = response["usage"]
            row = (response["id"], response["created"], response["model"], usage["prompt_tokens"])
            con.executemany("INSERT INTO contents VALUES (?, ?)", new)
            con.execute(
                "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, usage["completion_tokens"], key, array("i", ids).tobytes()),
            )
            count += 1
    con.commit()
    con.close()
    return count


def bench_ingest(folder: Path) -> None:
    log = folder / "calls.jsonl"
    write_log(log, INGEST_CALLS)
    size = log.stat().st_size / 1e6
    start = time.perf_counter()
    assert plain_ingest(log, folder / "plain.sqlite") == INGEST_CALLS
    plain = time.perf_counter() - start
    # a process of its own, so that peak memory is ingest's alone
    code = (
        "import sys, resource; from pathlib import Path; from ingest.store.database import Store;"
        "from ingest.pipeline.run import ingest; r = ingest(Store(sys.argv[1]), [Path(sys.argv[2])]);"
        "print(r.calls, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,"
        " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "bench.duckdb"), str(log)], capture_output=True, text=True, check=True
    )
    ours = time.perf_counter() - start
    calls, own, children = (int(part) for part in done.stdout.split())
    assert calls == INGEST_CALLS
    print(f"ingest, full text: {calls:,} calls, {size:,.0f} MB ({1e6 * size / calls:,.0f} B a call)")
    print(
        f"  hindcast      {ours:6.1f} s  {calls / ours:10,.0f} calls/s  {size / ours:6.1f} MB/s"
        f"  peak {max(own, children) / 1024:,.0f} MB"
    )
    print(f"  plain Python  {plain:6.1f} s  {calls / plain:10,.0f} calls/s   (into SQLite, one request key)")
    print(f"  ratio         {plain / ours:6.2f} x")


def synthetic_store(path: Path, calls: int, *, prompts: bool = False) -> None:
    """A store of calls without text, straight from SQL: skewed keys, 4 agents, 8 tasks, 8 processes, 30 days.

    With `prompts`, each call is three hashed messages of 24 blocks of 128 tokens together (a system prompt of 12 per
    agent, a document of 8 that fifty requests share, a question of 4), of a model that the provider caches.
    """
    from analysis.ledger import ledger
    from ingest.store.database import Store

    key = "CAST(floor(pow((hash(i + 5) % 1000003) / 1000003.0, 3) * $n / 4) AS INTEGER)"
    lists = f"""
        [CAST(hash(i + 2) % 4 AS INTEGER), 4 + {key} // 50, 5 + $n // 200 + {key}] AS message_ids,
        3000 + hash(i) % 300 AS input_tokens, 1536 * (hash(i + 6) % 2) AS cache_read_input_tokens,"""
    model = "gpt-4o" if prompts else "gpt-4-turbo"
    first = "2025-03-01" if prompts else "2024-03-01"
    store = Store(path)
    with store.write() as con:
        con.execute("SET enable_progress_bar = false")
        con.execute(
            f"""
            INSERT INTO calls BY NAME
            SELECT i AS call_no, i::HUGEINT AS call_key, 0 AS source_id, i + 1 AS source_row,
                TIMESTAMP '{first}' + to_milliseconds(CAST(i * (30 * 86400000.0 / $n) AS BIGINT)) AS start_time,
                800.0 AS duration_ms, 'openai' AS provider_name, '{model}' AS request_model, '{model}' AS model,
                {lists if prompts else "500 + hash(i) % 3000 AS input_tokens,"}
                50 + hash(i + 1) % 400 AS output_tokens, 1 AS weight,
                'ok' AS status, 'stop' AS finish_reason, 'agent_' || (hash(i + 2) % 4) AS agent,
                'task_' || (hash(i + 3) % 8) AS task, 'p' || (hash(i + 4) % 8) AS process_id,
                'hashed' AS content_state, 'reported' AS tokens_source, {key} AS key_canonical
            FROM range($n) t(i)
            """,
            {"n": calls},
        )
        if prompts:
            con.execute(
                """
                INSERT INTO contents BY NAME
                SELECT i AS content_id, i::HUGEINT AS hash, 'message' AS kind,
                    CASE WHEN i < 4 THEN 'system' ELSE 'user' END AS role, 90 AS words
                FROM range(6 + $n // 200 + $n // 4) t(i)
                """,
                {"n": calls},
            )
            con.execute(
                """
                INSERT INTO content_tokens
                SELECT i, 'o200k_base', 128 * size,
                    list_transform(range(size), lambda b: CAST(hash(i * 16 + b) >> 1 AS BIGINT))
                FROM (SELECT i, CASE WHEN i < 4 THEN 12 WHEN i < 5 + $n // 200 THEN 8 ELSE 4 END AS size
                      FROM range(6 + $n // 200 + $n // 4) t(i))
                """,
                {"n": calls},
            )
    ledger.update(store)


def plain_replay(path: Path) -> tuple[int, int]:
    """Pico-dollars and hits by one loop over rows with dictionaries: the same rule, tiers and prices."""
    from ingest.store.database import Store

    with Store(path).read() as con:
        rows = con.execute(
            """SELECT epoch_ms(start_time), epoch_ms(start_time) + 800, task, process_id, key_canonical,
                      input_tokens, output_tokens FROM calls ORDER BY start_time, source_id, source_row"""
        ).fetchall()
    five, day = 5 * 60_000, 24 * 3_600_000
    memory: dict[str, OrderedDict[tuple[int, bool], int]] = {}
    shared: dict[tuple[int, bool], int] = {}
    waiting: list[tuple[int, int, str, tuple[int, bool]]] = []
    import heapq

    total = hits = 0
    for number, (start, end, task, process, key, tokens_in, tokens_out) in enumerate(rows):
        while waiting and waiting[0][0] <= start:
            at, _, owner, stored = heapq.heappop(waiting)
            shared[stored] = at + day
            first = memory.setdefault(owner, OrderedDict())
            first[stored] = at + five
            first.move_to_end(stored)
            if len(first) > 10_000:
                first.popitem(last=False)
        cheap = task == "task_1"
        full = (key, cheap)
        mine = memory.setdefault(process, OrderedDict())
        if mine.get(full, -1) >= start:
            mine.move_to_end(full)
            hits += 1
            continue
        if shared.get(full, -1) >= start:
            mine[full] = min(start + five, shared[full])
            mine.move_to_end(full)
            if len(mine) > 10_000:
                mine.popitem(last=False)
            hits += 1
            continue
        rate_in, rate_out = (500_000, 1_500_000) if cheap else (10_000_000, 30_000_000)
        total += tokens_in * rate_in + tokens_out * rate_out
        heapq.heappush(waiting, (end, number, process, full))
    return total, hits


def bench_replay(folder: Path) -> None:
    from analysis.money import exact_sum
    from ingest.store.database import Store
    from replay.engine.engine import Engine
    from replay.engine.run import run
    from replay.strategy.schema import parse
    from replay.traffic.load_traffic import load

    path = folder / "replay.duckdb"
    synthetic_store(path, REPLAY_CALLS)
    strategy = parse(STRATEGY, "bench.yaml")
    run(Store(path), [strategy])  # compiles the kernels
    start = time.perf_counter()
    result = run(Store(path), [strategy]).strategies[0]
    ours = time.perf_counter() - start
    start = time.perf_counter()
    engine = Engine(load(Store(path)), strategy)
    outcome = engine.evaluate(engine.everything)
    once = exact_sum(outcome.cost_pico), int(outcome.hits.sum())
    single = time.perf_counter() - start
    start = time.perf_counter()
    total, hits = plain_replay(path)
    plain = time.perf_counter() - start
    assert (result.cost_pico, result.hits) == once == (total, hits), (
        (result.cost_pico, result.hits),
        once,
        (total, hits),
    )
    print(f"replay: {REPLAY_CALLS:,} calls from the store, route + two tiers + exact prices; same cost and hits in all")
    print(f"  hindcast, one evaluation  {single:6.2f} s  {REPLAY_CALLS / single:10,.0f} calls/s")
    print(
        f"  hindcast, whole command   {ours:6.2f} s  {REPLAY_CALLS / ours:10,.0f} calls/s  (split, interval, quality)"
    )
    print(f"  plain Python              {plain:6.2f} s  {REPLAY_CALLS / plain:10,.0f} calls/s  (one evaluation)")
    print(f"  ratio                     {plain / single:6.1f} x once, {plain / ours:.1f} x for the whole command")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench_ingest(Path(folder))
        bench_replay(Path(folder))
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
