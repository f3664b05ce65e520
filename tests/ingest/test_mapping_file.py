"""Logs of any layout through a mapping file, and what is told of a mistake in it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.detect.draft_mapping import draft_mapping
from ingest.errors import InputError
from ingest.mapping_file import load_mapping, parse_mapping
from ingest.pipeline.run import IngestReport, ingest
from ingest.store.database import Store

MAPPINGS = Path(__file__).resolve().parents[2] / "sample_logs" / "mappings"


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(query).fetchall()


def run(tmp_path: Path, source: Path, mapping: str | Path) -> tuple[Store, IngestReport]:
    if isinstance(mapping, str):
        path = tmp_path / "mapping.yaml"
        path.write_text(mapping)
        mapping = path
    store = Store(tmp_path / "s.duckdb")
    return store, ingest(store, [source], mapping=mapping, workers=1)


def test_units_values_constants_zones_and_weights(tmp_path: Path) -> None:
    source = tmp_path / "gateway.jsonl"
    record = {"meta": {"when": "2026-07-01 12:00:00", "took": 1.5}, "m": "FAST", "u": [{"in": "1200"}, {"out": 7}],
              "cents": 2.5, "n": 40, "ok": "SUCCESS",
              "body": json.dumps({"msgs": [{"role": "user", "content": "hi you"}]})}  # fmt: skip
    source.write_text(json.dumps(record))
    store, _ = run(tmp_path, source, """
name: house
timezone: Europe/Berlin
fields:
  start_time: meta.when
  duration_ms: {path: meta.took, unit: s}
  request_model: {path: m, values: {FAST: gpt-4o-mini}}
  input_tokens: [absent, u.0.in]
  output_tokens: u.1.out
  logged_cost_usd: {path: cents, unit: cents}
  weight: n
  status: ok
  agent: {path: none, default: unknown-agent}
constants: {provider_name: openai, task: chat}
messages: body.msgs
""")  # fmt: skip
    assert rows(store, """SELECT start_time::VARCHAR, duration_ms, model, input_tokens, output_tokens, logged_cost_usd,
                                 weight, status, agent, provider_name, task, input_words FROM calls""") == [
        ("2026-07-01 10:00:00", 1500.0, "gpt-4o-mini", 1200, 7, Decimal("0.025"), Decimal(40), "ok", "unknown-agent",
         "openai", "chat", 2)
    ]  # fmt: skip


def test_csv_and_parquet_read_like_json_lines(tmp_path: Path) -> None:
    mapping = "fields: {start_time: t, request_model: m, input_tokens: i, output_tokens: o}\nkey: [m, t]\n"
    table = {"t": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"], "m": ["a,b", 'q"x'], "i": [1, 2], "o": [3, 4]}
    files = [tmp_path / "a.jsonl", tmp_path / "b.csv", tmp_path / "c.parquet"]
    files[0].write_text("".join(json.dumps(dict(zip(table, row, strict=True))) + "\n"
                                for row in zip(*table.values(), strict=True)))  # fmt: skip
    files[1].write_text('t,m,i,o\n2026-01-01T00:00:00Z,"a,b",1,3\n2026-01-01T00:00:01Z,"q""x",2,4\n')
    pq.write_table(pa.table(table), files[2])
    found = []
    for file in files:
        folder = tmp_path / file.suffix[1:]
        folder.mkdir()
        store, report = run(folder, file, mapping)
        assert report.calls == 2
        found.append(
            rows(store, "SELECT call_key, start_time, model, input_tokens, output_tokens FROM calls ORDER BY 2")
        )
    assert found[0] == found[1] == found[2]


def test_rows_that_do_not_fit_are_set_aside(tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("t,m,i\n2026-01-01,gpt,5\n2026-01-01,gpt,minus\n2026-01-01,gpt\nnever,gpt,5\n")
    store, report = run(tmp_path, source, "fields: {start_time: t, request_model: m, input_tokens: i}\n")
    assert (report.calls, report.quarantined) == (1, 3)
    assert rows(store, "SELECT source_row FROM quarantine ORDER BY 1") == [(3,), (4,), (5,)]


@pytest.mark.parametrize(
    ("text", "line", "says", "remedy"),
    [
        ("fields:\n  start_time: t\n  input_tokns: i\n", 3, "input_tokns", "Did you mean 'input_tokens'?"),
        ("fields:\n  start_time: {path: t, unti: s}\n", 2, "unti", "Did you mean 'unit'?"),
        ("name: x\nfeilds: {}\n", 2, "feilds", "Did you mean 'fields'?"),
        ("fields:\n  start_time: t\nconstants:\n  provider: x\n", 4, "provider", "Did you mean 'provider_name'?"),
        ("fields:\n  duration_ms: {path: t, unit: hours}\n", 2, "unit", None),
        ("fields: {start_time: t}\ntimezone: Mars/Base\n", 2, "Mars/Base", "offset"),
        ("fields: [\n", 2, "not YAML", None),
        ("just text", None, "mapping with `fields`", None),
    ],
)
def test_a_mistake_is_told_with_line_and_nearest_name(
    text: str, line: int | None, says: str, remedy: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        parse_mapping(text, "m.yaml")
    message = str(caught.value)
    assert message.startswith(f"m.yaml:{line}:" if line else "m.yaml:")
    assert says in message
    assert remedy is None or remedy in message
    assert len(message.splitlines()) <= 3


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_mappings_are_right(path: Path) -> None:
    assert load_mapping(path).fields


def test_a_draft_is_a_mapping_that_works(tmp_path: Path) -> None:
    source = tmp_path / "log.csv"
    source.write_text("request_id,timestamp,model,prompt_tokens,completion_tokens,cost,latency,agent\n"
                      "1,2026-01-01T00:00:00Z,gpt-4o,10,2,0.5,1.25,writer\n")  # fmt: skip
    text = draft_mapping(source)
    store, report = run(tmp_path, source, text)
    assert report.calls == 1
    assert rows(store, "SELECT model, input_tokens, output_tokens, logged_cost_usd, duration_ms, agent FROM calls") == [
        ("gpt-4o", 10, 2, Decimal("0.5"), 1250.0, "writer")
    ]


# -- real logs -----------------------------------------------------------------------------------------------------


def test_tau2_has_4018_calls_that_cost_32_dollars_18(tmp_path: Path, data: Path) -> None:
    store, report = run(tmp_path, data / "tau2_dev_calls.jsonl.zst", MAPPINGS / "tau2.yaml")
    assert (report.calls, report.duplicates, report.quarantined) == (4018, 0, 0)
    assert rows(store, "SELECT round(sum(logged_cost_usd), 2), count(DISTINCT conversation_id) FROM calls") == [
        (Decimal("32.18"), 229)
    ]
    assert rows(store, "SELECT count(*) FROM calls WHERE score IS NULL OR message_ids IS NULL") == [(0,)]


def test_chatdev_has_1933_calls_of_which_258_repeat_an_earlier_one(tmp_path: Path, data: Path) -> None:
    store, report = run(tmp_path, data / "chatdev_calls.jsonl.zst", MAPPINGS / "chatdev.yaml")
    assert (report.rows, report.calls, report.duplicates) == (1953, 1933, 20)
    repeats = "SELECT count(*) - count(DISTINCT (key_canonical, coalesce(model, ''))) FROM calls"
    assert rows(store, repeats) == [(258,)]
    assert rows(store, "SELECT count(*) FROM calls WHERE model IS NULL") == [(192,)]
    assert rows(store, "SELECT count(*) FROM calls WHERE start_time::DATE = '2023-08-25'") == [(617,)]
    again = ingest(store, [data / "chatdev_calls.jsonl.zst"], mapping=MAPPINGS / "chatdev.yaml", workers=1)
    assert again.calls == 0


def test_traces_without_prompts_and_rates_as_weights(tmp_path: Path, data: Path) -> None:
    store, report = run(tmp_path, data / "azure_2023_conv.csv", MAPPINGS / "azure_trace.yaml")
    assert report.calls == 19_366
    folder = tmp_path / "rates"
    folder.mkdir()
    store, report = run(folder, data / "servegen_m-small_rates.parquet", MAPPINGS / "servegen_rates.yaml")
    assert report.calls == report.rows
    by_day = rows(store, """SELECT date_diff('day', TIMESTAMP '2024-01-01', start_time) AS day,
                                   round(sum(weight) / 1e6, 1) FROM calls GROUP BY 1 ORDER BY 1""")  # fmt: skip
    days = {int(day): float(millions) for day, millions in by_day}
    assert (days[8], days[9]) == (105.4, 124.2)
