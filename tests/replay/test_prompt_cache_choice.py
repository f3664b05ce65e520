"""Whether a provider's prompt cache pays: off where nothing comes again, an hour where it comes again late."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analysis.ledger.ledger import update
from ingest.contents.tokenizer import count_content, ensure_counted
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore
from replay.provider_cache.advice import Choice, choices
from replay.traffic import load_traffic

LONG = " ".join(f"Clause {number} binds both parties until it is revoked in writing." for number in range(160))


def one(folder: Path, prompts: list[str], *, gap: timedelta, written: bool) -> Choice:
    """The verdict on calls of Claude Sonnet 4.5, `gap` apart; `written`: the log has each prompt written."""
    began = datetime(2025, 11, 5, 9, tzinfo=UTC)
    lines = []
    for number, prompt in enumerate(prompts):
        message = {"role": "user", "content": prompt}
        size = count_content(json.dumps(message, sort_keys=True), "message", "o200k_base")
        lines.append(
            {
                "hindcast": 1,
                "call_id": f"c{number}",
                "start_time": (began + number * gap).isoformat(),
                "provider_name": "anthropic",
                "request_model": "claude-sonnet-4-5",
                "input_tokens": size,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": size if written else 0,
                "output_tokens": 10,
                "status": "ok",
                "input_messages": [message],
            }
        )
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = MemoryStore(folder / "s.duckdb")
    ingest(store, [path])
    update(store)
    ensure_counted(store, ["o200k_base"])
    found = choices(load_traffic.load(store))
    assert len(found) == 1
    return found[0]


def test_where_nothing_comes_again_caching_is_to_be_turned_off(tmp_path):
    prompts = [f"Contract {number}. {LONG}" for number in range(20)]
    found = one(tmp_path, prompts, gap=timedelta(minutes=1), written=True)
    assert found.best == "off"
    assert found.logged > found.off
    # a write costs 1.25 of an uncached token: a fifth of the input's cost is lost
    assert found.saves / found.logged == pytest.approx(0.2, abs=0.01)
    assert found.on["5m"] == found.logged


def test_where_a_prompt_comes_again_every_twenty_minutes_an_hour_beats_five_minutes(tmp_path):
    found = one(tmp_path, [LONG] * 20, gap=timedelta(minutes=20), written=False)
    assert found.best == "1h"
    assert found.on["1h"] < found.logged < found.on["5m"]


def test_where_it_comes_again_every_minute_five_minutes_beat_an_hour(tmp_path):
    found = one(tmp_path, [LONG] * 20, gap=timedelta(minutes=1), written=False)
    assert found.best == "5m"
    assert found.on["5m"] < found.on["1h"] < found.off
