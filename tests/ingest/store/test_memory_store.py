"""A store in memory answers as one on disk does, and leaves nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.ledger import ledger
from analysis.reports.cost import cost
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore

SAMPLES = Path(__file__).resolve().parents[3] / "sample_logs" / "formats"
LOGS = [SAMPLES / "claude_code.jsonl", SAMPLES / "litellm.jsonl", SAMPLES / "codex.jsonl"]


def test_it_holds_the_calls_and_costs_of_a_store_on_disk(tmp_path: Path) -> None:
    on_disk, in_memory = Store(tmp_path / "a.duckdb"), MemoryStore(tmp_path / "memory" / "b")
    for store in (on_disk, in_memory):
        ingest(store, LOGS, metadata_only=True)
        ledger.update(store)
    by = ("day", "agent", "model")
    assert cost(in_memory, by).to_json() == cost(on_disk, by).to_json()
    assert list((tmp_path / "memory").iterdir()) == [tmp_path / "memory" / "b.ingest.lock"]


def test_a_second_ingest_takes_only_what_is_new(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "m")
    assert not store.exists()
    first = ingest(store, LOGS[:1], metadata_only=True)
    again = ingest(store, LOGS[:2], metadata_only=True)
    assert store.exists()
    assert (first.calls, again.files[0]["calls"]) == (again.calls + first.calls - again.files[1]["calls"], 0)


def test_a_failed_write_leaves_it_as_it_was(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "m")
    with store.write() as con:
        con.execute("INSERT INTO meta VALUES ('a', '1')")
    with pytest.raises(ValueError, match="stop"), store.write() as con:
        con.execute("DELETE FROM meta")
        raise ValueError("stop")
    with store.read() as con:
        assert con.execute("SELECT value FROM meta WHERE key = 'a'").fetchall() == [("1",)]
