"""Duplicates are requests asked before; their dollars are those of the repeats alone."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from analysis.ledger.ledger import update
from analysis.reports.duplicate_requests import duplicates
from ingest.pipeline.run import ingest
from ingest.store.database import Store

LONG = " ".join(f"word{i} and then some more" for i in range(120))


def write_log(path, rows):
    path.write_text("".join(json.dumps({"hindcast": 1, **row}) + "\n" for row in rows))
    store = Store(path.with_suffix(".duckdb"))
    ingest(store, [path])
    update(store)
    return store


def call(i, text, *, answer="yes", day=1, model="gpt-4-turbo", **more):
    return {
        "call_id": f"c{i}", "start_time": f"2024-03-{day:02d}T10:00:{i % 60:02d}Z", "agent": "writer",
        "request_model": model, "input_tokens": 1000, "output_tokens": 100, "status": "ok",
        "input_messages": [{"role": "user", "content": text}],
        "output_messages": [{"role": "assistant", "content": answer}], **more,
    }  # fmt: skip


def test_repeats_of_a_request_cost_what_the_repeats_cost(tmp_path):
    rows = [call(0, "one"), call(1, "two"), call(2, "one", day=2), call(3, "one", day=2, answer="no")]
    report = duplicates(write_log(tmp_path / "log.jsonl", rows))
    assert len(report.exact) == 1
    found = report.exact[0]
    assert (found.groups, found.repeats, found.cost_usd) == (1, 2, Decimal("0.026"))
    assert found.cost_per_day == Decimal("0.013")
    assert found.same_answer == 0


def test_the_same_request_to_another_model_is_another_request(tmp_path):
    rows = [call(0, "one"), call(1, "one", model="gpt-4o")]
    assert duplicates(write_log(tmp_path / "log.jsonl", rows)).exact == []


def test_retries_and_errors_are_not_duplicates(tmp_path):
    rows = [call(0, "one", status="error"), call(1, "one", attempt=2), call(2, "one")]
    assert duplicates(write_log(tmp_path / "log.jsonl", rows)).exact == []


def test_almost_the_same_text_is_near_and_not_exact(tmp_path):
    rows = [call(0, LONG), call(1, LONG + " at last"), call(2, "quite another matter " * 40)]
    report = duplicates(write_log(tmp_path / "log.jsonl", rows))
    assert report.exact == []
    assert [(found.groups, found.repeats) for found in report.near] == [(1, 1)]
    assert duplicates(Store(tmp_path / "log.duckdb"), near=False).near == []


@pytest.mark.data
def test_chatdev_repeats_258_calls_in_133_groups(tmp_path, data):
    store = Store(tmp_path / "chatdev.duckdb")
    ingest(
        store,
        [data / "chatdev_calls.jsonl.zst"],
        mapping=Path(__file__).resolve().parents[3] / "sample_logs" / "mappings" / "chatdev.yaml",
    )
    update(store)
    document = duplicates(store, near=False).to_json()
    assert (document["repeats"], document["groups"], document["same_answer_groups"]) == (258, 133, 43)
