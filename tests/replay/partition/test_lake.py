"""A lake is replayed by its buckets with the bytes of the file that the same logs make."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import hindcast
import pytest

from ingest.errors import InputError
from ingest.store.address import open_store
from replay.engine.run import run
from replay.partition.on_workers import on_workers
from replay.partition.run_parts import by_buckets
from replay.strategy.schema import parse

STRATEGIES = (
    "name: logged",
    """
name: routed and cached
route: [{match: {input_tokens: {lt: 900}}, model: gpt-3.5-turbo}]
cache: {processes: 2, tiers: [{name: memory, scope: process, ttl: 10m, max_entries: 60}, {name: redis, ttl: 24h}]}
""",
)


def test_file_and_lake_and_its_buckets_agree(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(2):
        rows = [
            {
                "hindcast": 1, "call_id": f"{number} {n}",
                "start_time": (datetime(2024, 3, 5) + timedelta(minutes=7 * n + number)).isoformat() + "Z",
                "duration_ms": 900, "provider_name": "openai", "request_model": "gpt-4-turbo", "task": "draft",
                "agent": f"a{n % 3}", "input_tokens": 500 + 20 * (n * n % 31), "output_tokens": 40 + n,
                "input_messages": [{"role": "user", "content": f"question {n * n % 31}"}],
            }
            for n in range(150)
        ]  # fmt: skip
        (logs / f"{number}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    strategies = [parse(text) for text in STRATEGIES]
    made = []
    for address in (str(tmp_path / "calls.duckdb"), f"{tmp_path / 'lake'}/"):
        hindcast.ingest(address, logs)
        made.append(open_store(address))
    file, lake = made
    whole = json.dumps(run(file, strategies).to_json())
    assert json.dumps(run(lake, strategies).to_json()) == whole
    assert json.dumps(run(lake, strategies, parts=by_buckets(lake, 4)).to_json()) == whole


def test_workers_are_for_lakes(tmp_path: Path) -> None:
    file = open_store(tmp_path / "calls.duckdb")
    with (
        pytest.raises(InputError, match="is a file"),
        on_workers(file, "tcp://127.0.0.1:1", None, None, cold=False, every_miss=False),
    ):
        pass
