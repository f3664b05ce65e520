"""Strategies that change what the provider's prompt cache sees, by parts that go by the beginning of prompts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_store

from analysis.ledger import ledger
from ingest.store.database import Store
from replay.engine.run import run
from replay.partition.bucket_store import BucketStore
from replay.partition.one_node import OneNodeError
from replay.partition.run_parts import by_buckets
from replay.strategy.schema import parse
from replay.traffic.load_prompts import encodings_of
from replay.traffic.load_traffic import load

STRATEGY = """
name: routed and cached
route: [{match: {task: short}, model: gpt-4o-mini}]
cache: {tiers: [{name: redis, ttl: 2h}]}
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six system prompts of twelve blocks before a document of eight and a question; cached tokens are logged."""
    rng = np.random.default_rng(2)
    rows: list[dict[str, Any]] = []
    for number in range(600):
        head, document, question = int(rng.integers(6)), 6 + int(rng.integers(12)), 18 + int(rng.integers(40))
        key = (head * 100 + document) * 100 + question
        rows.append(
            {
                "start_time": datetime(2025, 3, 1) + timedelta(minutes=11 * number),
                "duration_ms": 900.0,
                "model": "gpt-4o",
                "task": ("short", "long")[number % 2],
                "agent": f"agent {head}",
                "conversation_id": f"c{number // 8}",
                "input_tokens": 3000,
                "cache_read_input_tokens": int(rng.choice([0, 1536, 2560])),
                "output_tokens": 100 + number % 50,
                "content_state": "hashed",
                "message_ids": [head, document, question] if number % 40 else None,
                "key_canonical": key % 997,
            }
        )
    made = build_store(tmp_path / "s.duckdb", rows)
    with made.write() as con:
        for number in range(58):
            blocks = 12 if number < 6 else 8 if number < 18 else 4
            role = "system" if number < 6 else "user"
            con.execute(
                "INSERT INTO contents (content_id, hash, kind, role, words) VALUES (?, ?, 'message', ?, 9)",
                [number, number, role],
            )
            hashes = [int(value) for value in rng.integers(1, 2**62, blocks)]
            con.execute("INSERT INTO content_tokens VALUES (?, 'o200k_base', ?, ?)", [number, 128 * blocks, hashes])
    ledger.update(made)
    return made


def test_parts_by_heads_give_the_bytes_of_the_whole(store: Store) -> None:
    with store.write() as con:  # a request of one head only, as its text is part of it
        con.execute("UPDATE calls SET key_canonical = key_canonical * 10 + coalesce(message_ids[1], 9)")
    strategies = [parse(STRATEGY), parse("name: off\nprovider_cache: off"), parse("name: logged")]
    whole = run(store, strategies, timed=True).to_json()
    assert len(whole["strategies"][0]["prompt_cache"]) > 0
    assert whole["strategies"][0]["calibration"]
    found = run(store, strategies, timed=True, parts=by_buckets(store, 4)).to_json()
    assert json.dumps(found) == json.dumps(whole)
    heads = encodings_of(load(store))
    assert sum(len(load(BucketStore(store, bucket, 4, heads))) > 0 for bucket in range(4)) > 1


def test_equal_requests_that_begin_differently_are_refused(store: Store) -> None:
    with pytest.raises(OneNodeError, match="begin differently"):
        run(store, [parse(STRATEGY)], parts=by_buckets(store, 4))
