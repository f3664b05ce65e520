"""Own prices, machine hours and a price book in a lake: each call costs what it costs in a file."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from analysis.ledger.lake_pricing import LakePricing, update_lake
from analysis.ledger.update import update
from analysis.pricing.overrides import parse_override
from analysis.pricing.stored_overrides import remove_override, store_aliases, store_overrides
from ingest.lake.executors import Here
from ingest.lake.run import ingest_into_lake
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.lake import LakeStore
from ingest.store.lake_upkeep import check, compact

OWN = (
    ({"agent": "agent_1", "model": "gpt-4o"}, {"multiplier": "0.5"}),
    ({"region": "eu-*", "model": "gpt-4o-mini"}, {"input": "9", "output": "11"}),
    ({"model": "own-llama"}, {"per_hour": "3.7", "basis": "busy"}),
    ({"model": "own-qwen"}, {"per_hour": "2.3", "basis": "hours"}),
)


def write_log(path: Path, numbers: range) -> Path:
    rng = random.Random(numbers.start)
    lines = [
        json.dumps({
            "hindcast": 1, "call_id": f"c{n}", "start_time": f"2026-03-02T{10 + n % 3}:{n % 60:02}:{n % 7:02}Z",
            "duration_ms": 40_000 + 1000 * (n % 50), "input_tokens": rng.randrange(5000), "output_tokens": n % 90,
            "request_model": ("gpt-4o", "gpt-4o-mini", "own-llama", "own-qwen", "my-gpt")[n % 5],
            "agent": f"agent_{n % 3}", "region": ("eu-west-1", "us-east-1", None)[n % 7 % 3],
        })
        for n in numbers
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def set_own(store: Store) -> None:
    with store.write() as con:
        items = [parse_override(match=match, **values) for match, values in OWN]  # type: ignore[arg-type]
        store_overrides(con, items, replace_all=False)
        store_aliases(con, {"my-gpt": "openai/gpt-4.1"}, replace_all=False)


def costs(store: Store) -> list[Any]:
    """Every call's costs, and the price behind them; numbers of prices depend on the order in which they were met."""
    with store.read() as con:
        return con.execute(
            """SELECT call_key, cost_status, uncached_input_usd, cache_read_usd, cache_write_usd, output_usd,
                      reasoning_usd, other_usd, cost_usd, p.provider, p.model, p.input, p.output, p.override_id
                 FROM costs LEFT JOIN prices p USING (price_id) ORDER BY call_key"""
        ).fetchall()


def read(lake: LakeStore, *paths: Path, **options: Any) -> int:
    return ingest_into_lake(lake, list(paths), Here(), LakePricing, **options).calls


@pytest.mark.parametrize("first", ["prices", pytest.param("calls", marks=pytest.mark.slow)])
def test_own_prices_cost_in_a_lake_what_they_cost_in_a_file(tmp_path: Path, first: str) -> None:
    a, b = write_log(tmp_path / "a.jsonl", range(90)), write_log(tmp_path / "b.jsonl", range(80, 120))
    lake, file = LakeStore(f"{tmp_path}/lake/"), Store(tmp_path / "s.duckdb")
    read(lake, a, task_bytes=12_000)
    ingest(file, [a], workers=1)
    before = costs(lake)
    if first == "calls":
        read(lake, b)
        ingest(file, [b], workers=1)
    for store in (lake, file):
        set_own(store)
    assert update(lake, rebuild=True).to_json() == update(file, rebuild=True).to_json()
    if first == "prices":  # calls that come later change what the hours of a machine cost the earlier ones
        read(lake, b)
        ingest(file, [b], workers=1)
        update(file)
    assert costs(lake) == costs(file)
    assert costs(lake)[: len(before)] != before
    assert {row[-1] for row in costs(lake)} >= {1, 2, 3, 4}
    assert check(lake).faults == []
    if first == "prices":
        return
    compact(lake)
    for store in (lake, file):
        with store.write() as con:
            remove_override(con, 3)
        update(store, rebuild=True)
    assert costs(lake) == costs(file)


@pytest.mark.slow
def test_pricing_twice_makes_the_same_objects_and_an_ingest_meanwhile_is_kept(tmp_path: Path) -> None:
    class Meanwhile(Here):
        done = False

        def map(self, work: Any, items: Any) -> Any:
            for item in items:
                work(item)
                yield work(item)
            if not self.done:
                self.done = True
                assert read(LakeStore(f"{tmp_path}/lake/"), b) == 50

    a, b = write_log(tmp_path / "a.jsonl", range(50)), write_log(tmp_path / "b.jsonl", range(50, 100))
    lake, whole = LakeStore(f"{tmp_path}/lake/"), LakeStore(f"{tmp_path}/whole/")
    read(lake, a)
    read(whole, a, b)
    for store in (lake, whole):
        set_own(store)
    assert update_lake(lake, executor=Meanwhile(), rebuild=True).written == 100
    update(whole, rebuild=True)
    assert costs(lake) == costs(whole)


@pytest.mark.slow
def test_a_newer_price_book_leaves_the_calls_of_a_lake_as_they_are(tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake/")
    read(lake, write_log(tmp_path / "a.jsonl", range(20)))
    before = costs(lake)
    with lake.write() as con:
        con.execute("UPDATE meta SET value = 'genai-prices 0+0' WHERE key = 'price_book_version'")
    number = lake.publish_number()
    assert update(lake).calls == 20
    assert (costs(lake), lake.publish_number()) == (before, number)
    assert "genai-prices 0+0" not in update(lake, rebuild=True).price_book_version
    assert costs(lake) == before


def test_a_lake_without_calls_has_an_empty_ledger(tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake/")
    lake.make()
    assert update(lake, rebuild=True).calls == 0
