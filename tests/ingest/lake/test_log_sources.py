"""Where tools leave their logs in object storage: each layout is read by its prefix, and what is no log is told."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sample_logs
from analysis.ledger.lake_pricing import LakePricing
from benchmarks._local_cluster import BUCKET, LocalS3
from ingest.lake.executors import Here
from ingest.lake.run import ingest_into_lake
from ingest.pipeline.report import IngestReport
from ingest.store.lake import LakeStore
from ingest.store.lake_upkeep import check

SAMPLES = Path(sample_logs.__file__).parent / "formats"


def records(name: str) -> list[dict[str, Any]]:
    """A sample's rows, with ids of its own: the samples of all formats tell of the same calls."""
    text = (SAMPLES / f"{name}.jsonl").read_text().replace("-sample", f"-{name}")
    return [json.loads(row) for row in text.splitlines()]


def put(root: Path, name: str, data: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def enriched(count: int = 6) -> list[dict[str, Any]]:
    """Rows of Langfuse's `observations_v2`, by its field reference."""
    return [
        {
            "id": f"obs-{n}", "trace_id": f"trace-{n // 2}", "project_id": "p1", "environment": "production",
            "type": "GENERATION" if n % 2 else "SPAN", "parent_observation_id": f"obs-{n - 1}" if n % 2 else "",
            "start_time": f"2026-07-14 10:00:{n:02}.250000", "end_time": f"2026-07-14 10:00:{n + 1:02}.500000",
            "name": "answer", "metadata": {"task": "draft"}, "level": "DEFAULT", "status_message": "", "version": "",
            "input": json.dumps([{"role": "user", "content": f"What is {n}?"}]) if n % 2 else "",
            "output": json.dumps({"role": "assistant", "content": "A number."}) if n % 2 else "",
            "provided_model_name": "gpt-4o-mini" if n % 2 else "", "model_parameters": '{"temperature":0.7}',
            "usage_details": {"input": 100, "input_cached_tokens": 20, "output": 10, "total": 130} if n % 2 else {},
            "cost_details": {"input": 0.001, "output": 0.002, "total": 0.003} if n % 2 else {},
            "completion_start_time": None, "prompt_name": "", "prompt_version": None, "total_cost": 0.003,
            "user_id": f"user-{n}", "session_id": f"session-{n // 2}", "trace_name": "support", "tags": ["web"],
        }
        for n in range(count)
    ]  # fmt: skip


def langfuse(root: Path) -> None:
    rows = enriched(8)
    put(root, "p1/observations_v2/2026-07-14T10-00-00-000Z.jsonl", lines(rows[:2]))
    put(root, "p1/observations_v2/2026-07-14T11-00-00-000Z.jsonl.gz", lines(rows[2:4]))
    table = io.StringIO()
    out = csv.DictWriter(table, list(rows[0]))
    out.writeheader()
    for row in rows[4:6]:
        told = {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
        out.writerow(told)
    put(root, "p1/observations_v2/2026-07-14T12-00-00-000Z.csv", table.getvalue().encode())
    counts = pa.map_(pa.string(), pa.int64()), pa.map_(pa.string(), pa.float64())
    held = {name: [row[name] for row in rows[6:]] for name in rows[0]}
    held["metadata"] = [list(one.items()) for one in held["metadata"]]
    columns: dict[str, Any] = {**held, "metadata": pa.array(held["metadata"], pa.map_(pa.string(), pa.string()))}
    for name, kind in zip(("usage_details", "cost_details"), counts, strict=True):
        columns[name] = pa.array([list(one.items()) for one in held[name]], kind)
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    put(root, "p1/observations_v2/2026-07-14T13-00-00-000Z.parquet", sink.getvalue())
    score = {
        "id": "s1", "timestamp": "2026-07-14 10:00:09", "project_id": "p1", "environment": "production",
        "trace_id": "trace-0", "observation_id": None, "session_id": None, "dataset_run_id": None, "name": "helpful",
        "value": 0.5, "source": "EVAL", "comment": None, "data_type": "NUMERIC", "string_value": None,
    }  # fmt: skip
    trace: dict[str, Any] = {
        "id": "trace-0", "timestamp": "2026-07-14 10:00:00.000000", "name": "support", "environment": "production",
        "project_id": "p1", "metadata": {}, "user_id": None, "session_id": "s", "release": None, "version": None,
        "public": False, "bookmarked": False, "tags": [], "input": None, "output": None,
    }  # fmt: skip
    put(root, "p1/scores/2026-07-14T10-00-00-000Z.jsonl", lines([score]))
    put(root, "p1/traces/2026-07-14T10-00-00-000Z.jsonl", lines([trace]))


def litellm(root: Path) -> None:
    for number, record in enumerate(records("litellm")):
        put(root, f"litellm/team-a/2026-03-02/time-09-01-{number:02}-000000_{record['id']}.json", lines([record]))


def otel(root: Path) -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def protobuf(record: dict[str, Any]) -> bytes:
        for group in record["resourceSpans"]:
            for span in (span for scope in group["scopeSpans"] for span in scope["spans"]):
                for name in ("traceId", "spanId", "parentSpanId"):
                    if span.get(name):
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
        export = ParseDict(record, ExportTraceServiceRequest(), ignore_unknown_fields=True)
        return bytes(export.SerializeToString())

    folder = "telemetry/year=2026/month=03/day=02/hour=09/minute={:02}/{}"
    for number, record in enumerate(records("otlp")):
        kind = ("json", "json.gz", "binpb", "binpb.gz")[number % 4]
        data = json.dumps(record).encode() if "json" in kind else protobuf(record)
        put(root, folder.format(number, f"traces_aBcDeFgH{number}.{kind}"), data)


def bedrock(root: Path, bucket: str = "s3://bucket/") -> None:
    base = "bedrock/AWSLogs/000000000000/BedrockModelInvocationLogs/eu-west-1/2026/03/02/"
    rows = records("bedrock")
    for number, row in enumerate(rows[:2]):  # bodies above 100 KB lie in objects of their own
        for side in ("input", "output"):
            name = f"{base}09/data/{row['requestId']}_{side}.json.gz"
            put(root, name, json.dumps(row[side].pop(f"{side}BodyJson")).encode())
            row[side][f"{side}BodyS3Path"] = f"{bucket}{name}" if number == 0 else f"{bucket}{name}.gone"
    put(root, f"{base}09/20260302T090108012Z_2d3c.json.gz", lines(rows[:3]))
    put(root, f"{base}10/20260302T100108012Z_4f1a.json.gz", lines(rows[3:]))
    put(root, "bedrock/AWSLogs/000000000000/BedrockModelInvocationLogs/amazon-bedrock-logs-permission-check", b"")


LAYOUTS: tuple[tuple[Callable[[Path], None], int, int], ...] = (
    # what makes it, calls, those with a text
    (langfuse, 4, 4), (litellm, 6, 6), (otel, 6, 6), (bedrock, 6, 5),
)  # fmt: skip


def read(lake: LakeStore, logs: str | Path) -> IngestReport:
    return ingest_into_lake(lake, [logs], Here(), LakePricing)


def test_layouts_of_tools_are_read_by_their_prefix(tmp_path: Path) -> None:
    for make, *_ in LAYOUTS:
        make(tmp_path / "logs" / make.__name__)
    lake = LakeStore(f"{tmp_path}/lake/")
    report = read(lake, tmp_path / "logs")
    with lake.read() as con:
        found = con.execute(
            """SELECT count(*), count(cost_usd), count(message_ids) FROM costs JOIN sources USING (source_id)
                GROUP BY CASE format WHEN 'langfuse' THEN 0 WHEN 'litellm' THEN 1 WHEN 'otlp' THEN 2 ELSE 3 END
                ORDER BY CASE format WHEN 'langfuse' THEN 0 WHEN 'litellm' THEN 1 WHEN 'otlp' THEN 2 ELSE 3 END"""
        ).fetchall()
        traces = con.execute("SELECT DISTINCT workflow_name, tags FROM calls WHERE tags = ['web']").fetchall()
    assert found == [(calls, calls, texts) for _, calls, texts in LAYOUTS]
    assert traces == [("support", ["web"])]  # JSON lines, CSV and Parquet tell the same
    assert {reason for file in report.files for reason in file["skipped"]} >= {
        "a score, which is not read", "a trace, whose fields are read from observations_v2",
    }  # fmt: skip
    assert report.problems == []
    assert [one for one in report.passed_over if "permission-check: the file is empty" not in one] == []


@pytest.mark.slow
def test_a_large_parquet_log_is_read_by_its_row_groups(tmp_path: Path) -> None:
    rows = [
        {
            "hindcast": 1, "start_time": f"2026-03-02T10:00:{n:02}Z", "request_model": "gpt-4o", "output_tokens": 7,
            "input_tokens": 100 + n // 2, "agent": f"agent_{n % 3}",
            "input_messages": [{"role": "user", "content": f"Item {n % 9}"}],
        }
        for n in range(40)
    ]  # fmt: skip
    rows[39] = rows[3]  # a row that repeats one of another group is a call of its own
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "calls.parquet", row_group_size=10)
    found = []
    for task_bytes in (500, 1 << 25):
        lake = LakeStore(f"{tmp_path}/lake-{task_bytes}/")
        report = ingest_into_lake(lake, [tmp_path / "calls.parquet"], Here(), LakePricing, task_bytes=task_bytes)
        assert (report.calls, report.rows) == (40, 40)
        with lake.read() as con:
            found.append(con.execute("SELECT * FROM costs ORDER BY call_no").fetchall())
        assert len(list((tmp_path / f"lake-{task_bytes}/calls").iterdir())) == (4 if task_bytes == 500 else 1)
    assert found[0] == found[1]


@pytest.mark.slow
def test_of_a_bucket_only_what_is_new_or_changed_is_read_and_it_replaces_its_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("moto", "obstore", "fsspec"):
        pytest.importorskip(name, reason="needs llm-hindcast[lake] and moto[server]")
    from ingest.places.open_place import open_place

    with LocalS3() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        bucket = open_place(f"s3://{BUCKET}/")
        for make, *_ in LAYOUTS[:-1]:
            make(tmp_path / make.__name__)
        bedrock(tmp_path / "bedrock", f"s3://{BUCKET}/logs/bedrock/")
        for path in (path for path in tmp_path.rglob("*") if path.is_file()):
            bucket.write(f"logs/{path.relative_to(tmp_path).as_posix()}", path.read_bytes())
        lake, logs = LakeStore(f"s3://{BUCKET}/lake/"), f"s3://{BUCKET}/logs/"
        first = read(lake, logs)
        assert first.calls == sum(calls for _, calls, _ in LAYOUTS)
        with lake.read() as con:
            texts = con.execute("SELECT count(*) FROM calls WHERE message_ids IS NOT NULL").fetchall()[0][0]
        assert texts == sum(texts for *_, texts in LAYOUTS)
        assert read(lake, logs).calls == 0

        day = f"{logs}litellm/litellm/team-a/2026-03-02/"
        changed = next(one.name for one in open_place(day).list())
        rows = [json.loads(bucket.read(f"{day.removeprefix(f's3://{BUCKET}/')}{changed}"))]
        rows[0]["prompt_tokens"] = rows[0]["response"]["usage"]["prompt_tokens"] = 777_777
        other = {**rows[0], "id": "one-more", "response": {**rows[0]["response"], "id": "one-more"}}
        open_place(day).write(changed, lines([rows[0], other]))
        open_place(day).write("time-10_new.json", lines([{**other, "id": "new", "response": {"id": "new"}}]))
        listed = {file["path"]: file["unchanged"] for file in read_twice(lake, logs)}
        assert {path for path, same in listed.items() if not same} == {day + changed, f"{day}time-10_new.json"}
        with lake.read() as con:
            found = con.execute(
                "SELECT calls, count(*), max(input_tokens) FROM costs JOIN sources USING (source_id) WHERE path = ? "
                "GROUP BY ALL", [day + changed],
            ).fetchall()  # fmt: skip
        assert found == [(2, 2, 777_777)]
        assert check(lake).faults == []


def read_twice(lake: LakeStore, logs: str) -> list[dict[str, Any]]:
    """The files of the first of two ingests, of which the second finds nothing to do."""
    report = read(lake, logs)
    assert (len(report.replaced), sum(report.replaced.values())) == (1, 1)
    again = read(lake, logs)
    assert (again.calls, again.replaced) == (0, {})
    return report.files
