"""A draft of an unknown log takes its counts and amounts in the right unit, or says what it leaves open."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.detect.draft_mapping import draft_mapping
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore

TIME = "2026-06-01T09:00:00Z"
ROW = {"ts": TIME, "model": "gpt-5.2", "tokens_in": 1000, "tokens_out": 200}
DETAILS = {"prompt_tokens_details": {"cached_tokens": 300}}
ANSWER = {
    "type": "ai", "created_at": TIME, "response_metadata": {"model_name": "claude-sonnet-4-6"},
    "usage_metadata": {"input_tokens": 550, "output_tokens": 20, "total_tokens": 570,
                       "input_token_details": {"cache_read": 400, "cache_creation": 50}},
}  # fmt: skip

# rows -> input, output, cache read, dollars of the first call
LOGS: dict[str, tuple[list[dict[str, Any]], tuple[int | None, int | None, int | None, str | None]]] = {
    "millionths of a dollar": ([{**ROW, "cost_micros": 3500}], (1000, 200, None, "0.0035")),
    "millionths, in one word": ([{**ROW, "cost_microusd": 3500}], (1000, 200, None, "0.0035")),
    "nano-dollars": ([{**ROW, "costNanoUsd": 3500000}], (1000, 200, None, "0.0035")),
    "cents": ([{**ROW, "cost_cents": 0.35}], (1000, 200, None, "0.0035")),
    "a price of one piece beside the amount": (
        [{**ROW, "applied_cost_per_quantity": 0.04, "gross_amount": 0.12, "net_amount": 0.1}], (1000, 200, None, "0.1"),
    ),
    "euros": ([{**ROW, "Kosten (EUR)": 0.0035}], (1000, 200, None, None)),
    "euros by their sign": ([{**ROW, "cost": "€0.0035"}], (1000, 200, None, None)),
    "the cost of either side": ([{**ROW, "prompt_cost": 0.001, "output_cost": 0.0025}], (1000, 200, None, "0.0035")),
    "a session's cost so far": (
        [{**ROW, "cost": 0.25, "total_cost": 0.25},
         {**ROW, "ts": "2026-06-01T09:01:00Z", "cost": 0.5, "total_cost": 0.75},
         {**ROW, "ts": "2026-06-01T09:02:00Z", "cost": 0.5, "total_cost": 1.25}],
        (1000, 200, None, "0.25"),
    ),
    "thousands of tokens": (
        [{"ts": TIME, "model": "m", "input_ktokens": 1.5, "output_ktokens": 0.2}], (1500, 200, None, None),
    ),
    "tokens of a message and its answer": (
        [{"ts": TIME, "model": "m", "message_tokens": 1000, "answer_tokens": 200}], (1000, 200, None, None),
    ),
    "tokens sent and received": (
        [{"ts": TIME, "model": "m", "tokens_sent": 1000, "tokens_received": 200}], (1000, 200, None, None),
    ),
    "German names": (
        [{"Datum": TIME, "Modell": "m", "Eingabe-Tokens": 1000, "Ausgabe-Tokens": 200}], (1000, 200, None, None),
    ),
    "details of a count": (
        [{"ts": TIME, "model": "claude-sonnet-4-6",
          "usage": {"prompt_tokens": 1000, "completion_tokens": 200, **DETAILS}}],
        (1000, 200, 300, None),
    ),
    "a message of LangChain": ([ANSWER], (550, 20, 400, None)),
}  # fmt: skip


def read(tmp_path: Path, rows: list[dict[str, Any]]) -> tuple[list[Any], str]:
    path, mapping = tmp_path / "log.jsonl", tmp_path / "log.yaml"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mapping.write_text(draft_mapping(path))
    store = MemoryStore(tmp_path / "store.duckdb")
    assert ingest(store, [path], mapping=mapping).calls == len(rows)
    with store.read() as con:
        return con.execute(
            """SELECT input_tokens, output_tokens, cache_read_input_tokens, logged_cost_usd, duration_ms,
                      strftime(start_time, '%H:%M') FROM calls ORDER BY start_time"""
        ).fetchall()[0], mapping.read_text()  # fmt: skip


@pytest.mark.parametrize("log", LOGS)
def test_a_draft_reads_the_amounts_of_an_unknown_log(log: str, tmp_path: Path) -> None:
    rows, (asked, made, cached, dollars) = LOGS[log]
    found, _ = read(tmp_path, rows)
    assert found[:4] == (asked, made, cached, None if dollars is None else Decimal(dollars))


def test_an_amount_in_another_currency_is_left_open_with_a_word(tmp_path: Path) -> None:
    assert "Kosten (EUR) is in EUR" in read(tmp_path, [{**ROW, "Kosten (EUR)": 0.0035}])[1]


@pytest.mark.parametrize(
    ("written", "hour"), [("2026-06-01 09:00:00 PDT", "16:00"), ("2026-06-01 09:00:00 GMT", "09:00")]
)
def test_times_with_the_name_of_a_zone(written: str, hour: str, tmp_path: Path) -> None:
    assert read(tmp_path, [{**ROW, "ts": written}])[0][5] == hour


@pytest.mark.parametrize(("duration", "ms"), [(2_000_000, 2000.0), (2_000, 2000.0), (2.5, 2500.0), (2 * 10**9, 2000.0)])
def test_the_size_of_a_duration_tells_its_unit(duration: float, ms: float, tmp_path: Path) -> None:
    assert read(tmp_path, [{**ROW, "duration": duration}])[0][4] == ms
