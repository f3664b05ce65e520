"""The name of a run: of what was logged, not of how it came into the store."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.run import run
from replay.engine.run_id import added
from replay.quality.scores import Priors
from replay.strategy.quality_schema import QualityRow
from replay.strategy.schema import parse

STRATEGY = """
name: all of it
route:
  - {match: {task: draft}, cascade: [gpt-3.5-turbo, logged], escalate: {share: 0.4}}
cache: {tiers: [{name: shared, ttl: 1h, max_entries: 5}]}
"""


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Two files whose calls come at the same times."""
    paths = []
    for name in ("left", "right"):
        path = tmp_path / f"{name}.jsonl"
        with path.open("w") as out:
            for n in range(60):
                row: dict[str, Any] = {
                    "hindcast": 1,
                    "start_time": (datetime(2024, 3, 5) + timedelta(minutes=n // 2)).isoformat() + "Z",
                    "provider_name": "openai", "request_model": "gpt-4-turbo", "agent": name,
                    "task": ("draft", "plan")[n % 2], "input_tokens": 900 + n, "output_tokens": 100 + n,
                    "input_messages": [{"role": "user", "content": f"question {n % 3} of {n % 2}"}],
                }  # fmt: skip
                out.write(json.dumps(row) + "\n")
        paths.append(path)
    return paths


def replayed(folder: Path, *parts: list[Path]) -> Any:
    store = Store(folder / "s.duckdb")
    for part in parts:
        ingest(store, part)
    ledger.update(store)
    return run(store, [parse(STRATEGY)]).to_json()


def test_the_order_in_which_files_are_ingested_changes_nothing(tmp_path: Path, logs: list[Path]) -> None:
    at_once = replayed(tmp_path / "a", logs)
    assert at_once["strategies"][0]["hits"] > 0
    assert replayed(tmp_path / "b", logs[1:], logs[:1]) == at_once
    assert replayed(tmp_path / "c", logs[:1], logs[1:]) == at_once


def test_another_score_another_name(tmp_path: Path, logs: list[Path]) -> None:
    before = replayed(tmp_path, logs)["strategies"][0]["run_id"]
    store = Store(tmp_path / "s.duckdb")
    own = Priors((QualityRow(task="draft", model="gpt-3.5-turbo", quality=0.9, n=50),))
    told = run(store, [parse(STRATEGY)], scores=own).strategies[0].run_id
    with store.write() as con:
        con.execute("INSERT INTO scores VALUES (0, 'gpt-4-turbo', 0.5, 'test')")
    scored = run(store, [parse(STRATEGY)]).strategies[0].run_id
    assert len({before, told, scored}) == 3


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_digests_of_parts_add_up_to_that_of_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [tuple(int(value) for value in rng.integers(0, 2**63, 7)) for _ in range(5)]
    whole = added(parts)
    assert added([added(parts[:2]), added(parts[2:])]) == whole
    assert added([parts[place] for place in rng.permutation(5)]) == whole


def test_another_order_of_equal_requests_is_another_name(tmp_path: Path) -> None:
    """A cache keeps the first answer, so which of two calls with one request came first decides what a hit saves."""
    names = []
    for number, outputs in enumerate(([50, 900], [900, 50])):
        path = tmp_path / f"{number}.jsonl"
        rows = [
            {
                "hindcast": 1, "call_id": f"call {tokens}", "start_time": f"2024-03-05T00:00:0{n}Z",
                "provider_name": "openai", "request_model": "gpt-4-turbo", "input_tokens": 10, "output_tokens": tokens,
                "input_messages": [{"role": "user", "content": "the same"}],
            }
            for n, tokens in enumerate(outputs)
        ]  # fmt: skip
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
        names.append(replayed(tmp_path / f"store{number}", [path])["strategies"][0]["run_id"])
    assert names[0] != names[1]
