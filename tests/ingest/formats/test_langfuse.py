"""What Langfuse's ways out are known to do to an observation."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore


def read(path: Path) -> tuple[IngestReport, list[tuple[Any, ...]]]:
    store = MemoryStore(path.parent / "s.duckdb")
    report = ingest(store, [path], workers=1)
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped
    with store.read() as con:
        found = con.execute("SELECT input_tokens, output_tokens, cache_read_input_tokens FROM calls ORDER BY call_no")
        return report, found.fetchall()


def event(kind: str, **body: Any) -> dict[str, Any]:
    return {"id": f"{kind}-{body['id']}", "timestamp": "2026-03-02T10:00:00Z", "type": kind, "body": body}


def test_an_update_completes_the_observation_that_it_updates(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    batches = [
        [event("generation-create", id="g1", startTime="2026-03-02T10:00:00Z", model="gpt-5", usage=None),
         event("generation-create", id="g2", startTime="2026-03-02T10:00:01Z", model="gpt-5")],
        [event("generation-update", id="g1", endTime="2026-03-02T10:00:03Z",
               usage={"promptTokens": 900, "completionTokens": 20, "totalTokens": 920}),
         event("generation-update", id="g2", usageDetails={"prompt_tokens": 800, "completion_tokens": 10,
                                                           "total_tokens": 810,
                                                           "prompt_tokens_details": {"cached_tokens": 256}})],
    ]  # fmt: skip
    path.write_text("".join(json.dumps({"batch": batch, "metadata": {}}) + "\n" for batch in batches))
    report, rows = read(path)
    assert (report.calls, report.skipped) == (2, 2)
    assert rows == [(900, 20, None), (800, 10, 256)]


def test_a_table_of_the_interface_quotes_its_times_as_json(tmp_path: Path) -> None:
    path = tmp_path / "observations.csv"
    row = {"id": "o1", "traceId": "t1", "type": "GENERATION", "startTime": '"2026-03-02T10:00:00.250Z"',
           "endTime": '"2026-03-02T10:00:02Z"', "name": "x", "model": "gpt-5",
           "usageDetails": '{"input":100,"input_cached_tokens":900,"output":50,"total":1050}',
           "parentObservationId": "", "modelParameters": "{}"}  # fmt: skip
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row.keys(), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerow(row)
    report, rows = read(path)
    assert (report.calls, report.quarantined) == (1, 0)
    assert rows == [(1000, 50, 900)]


def test_a_count_of_characters_is_no_count_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    record = {"id": "o1", "traceId": "t1", "type": "GENERATION", "startTime": "2026-03-02T10:00:00Z", "model": "gpt-5",
              "modelParameters": {}, "usage": {"input": 4000, "output": 100, "unit": "CHARACTERS"}}  # fmt: skip
    path.write_text(json.dumps(record) + "\n")
    assert read(path)[1] == [(None, None, None)]
