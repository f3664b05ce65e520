"""One odd record stops nothing: each is a call, a skipped row or a quarantined one, and its neighbours are read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builder import in_memory

from ingest.detect.file_format import recognise
from ingest.format_contract import Context
from ingest.formats import detect_record
from ingest.pipeline.parse_rows import Piece, Task, read_task
from ingest.pipeline.run import ingest
from ingest.staging.segment import ContentRules

SAMPLES = sorted(Path("sample_logs/formats").glob("*.jsonl"))
ODD = (["x"], {"x": ["y"]}, [[{}]], 1e40, 1e306, -1, 10**30, "NaN", "Infinity", True, None, "", "x")


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values below a record, inner ones included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*at, key)
        yield from leaves(inner, (*at, key))


def with_value(record: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(record)
    target = changed
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return changed


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_any_value_in_any_place_of_a_record_leaves_its_neighbours_read(sample: Path, tmp_path: Path) -> None:
    records = [json.loads(line) for line in sample.read_text().splitlines()][:4]
    places = [(number, place) for number, record in enumerate(records) for place in leaves(record)][:160]
    odd = [with_value(records[number], place, value) for number, place in places for value in ODD]
    lines = [json.dumps(record).encode() for record in odd]
    known = recognise(sample)
    piece = Piece(0, sample, known.format, "jsonl", Context(sample, mtime_us=1_780_000_000_000_000),
                  data=b"\n".join(lines))  # fmt: skip
    segments = list(read_task(Task(0, [piece]), ContentRules(), tmp_path))
    counts = [segment.counts[0] for segment in segments]
    assert sum(one.rows for one in counts) >= len(lines)
    for one in counts:
        assert one.rows == one.calls + one.duplicates + len(one.quarantined) + one.skipped.total()


@pytest.mark.parametrize("record", [{"type": ["x"], "id": 1}, {"event": {}}, {"call_type": []}, [[]], {"sse": 1}, 7])
def test_recognising_never_raises(record: Any) -> None:
    detect_record(record)


def test_a_file_of_another_kind_beside_a_log_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "schema.json").write_text('{"$schema": "x", "type": ["object", "null"]}')
    (folder / "usage.json").write_text(json.dumps({"object": "page", "data": [{
        "object": "bucket", "start_time": 1772409600, "end_time": 1772496000, "results": [
            {"object": "organization.usage.completions.result", "input_tokens": value, "model": "gpt-4o"}
            for value in (1e40, "NaN", "Infinity", 5)]}]}))  # fmt: skip
    call = {"hindcast": 1, "call_id": "a", "start_time": "2026-03-02T00:00:01Z", "request_model": "gpt-4o",
            "input_tokens": 1, "output_tokens": 1}  # fmt: skip
    odd = {**call, "call_id": "b",
           "input_messages": [{"role": "user", "content": [{"type": ["text"], "x": 1}]}]}  # fmt: skip
    (folder / "log.jsonl").write_text(f"{json.dumps(call)}\n{json.dumps(odd)}\n")
    late = json.loads(Path("sample_logs/formats/helicone.jsonl").read_text().splitlines()[0])
    (folder / "late.jsonl").write_text(json.dumps({**late, "delay_ms": 1e306}))
    report = ingest(in_memory(tmp_path / "s.duckdb"), [folder], workers=1)
    assert (report.calls, report.quarantined, report.skipped) == (3, 3, 1)
    with in_memory(tmp_path / "s.duckdb").read() as con:
        assert con.execute("SELECT code FROM import_issues").fetchall() == [("impossible_duration",)]
