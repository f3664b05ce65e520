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
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore

MAPPINGS = Path(__file__).resolve().parents[2] / "sample_logs" / "mappings"


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(query).fetchall()


def run(tmp_path: Path, source: Path, mapping: str | Path) -> tuple[Store, IngestReport]:
    if isinstance(mapping, str):
        path = tmp_path / "mapping.yaml"
        path.write_text(mapping)
        mapping = path
    store = MemoryStore(tmp_path / "s.duckdb")
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
        ("fields:\n  start_time: t\n  logged_cost_usd: {path: c, unit: s}\n", 3, "unit 's' does not fit", None),
        ("fields:\n  start_time: {path: t, unit: cents}\n", 2, "unit 'cents' does not fit", None),
        ("fields:\n  start_time: {}\n", 2, "one of `path`, `sum` and `join`", None),
        ("fields:\n  input_tokens: {path: a, sum: [b]}\n", 2, "one of `path`, `sum` and `join`", None),
        ("fields:\n  logged_cost_usd: {path: c, currency: EUR}\n", 2, "how many dollars one EUR is", None),
        ("fields:\n  task: {path: c, format: '%Y'}\n", 2, "for times", None),
        ("fields: {start_time: t}\nwhere:\n  a: {nott: 1}\n", 2, "where", None),
        ("fields: {start_time: t}\ncache: between\n", 2, "cache", None),
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


def test_numbers_and_times_of_a_table_of_another_country(tmp_path: Path) -> None:
    source = tmp_path / "kosten.csv"
    source.write_text("Datum;Zeit;Modell;Ein;Aus;Kosten;Dauer\n"
                      "1.6.2026;09:00:05;gpt-4o;1.234;1 000;0,50 €;1,5 s\n"
                      "2.6.2026;10:00;gpt-4o;7;;1.000,25;350 ms\n"
                      "3.6.2026;10:00;gpt-4o;7;5;$1;350 ms\n")  # fmt: skip
    store, report = run(tmp_path, source, """
timezone: Europe/Berlin
decimal: ","
fields:
  start_time: {join: [Datum, Zeit]}
  request_model: Modell
  input_tokens: Ein
  output_tokens: Aus
  logged_cost_usd: {path: Kosten, currency: EUR, scale: 1.1}
  duration_ms: Dauer
""")  # fmt: skip
    assert (report.calls, report.quarantined) == (2, 1)
    assert rows(store, """SELECT start_time::VARCHAR, input_tokens, output_tokens, logged_cost_usd, duration_ms
                          FROM calls ORDER BY 1""") == [
        ("2026-06-01 07:00:05", 1234, 1000, Decimal("0.55"), 1500.0),
        ("2026-06-02 08:00:00", 7, None, Decimal("1100.275"), 350.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "outside", "cache"),
    [("in", outside, "outside" if outside else "inside") for outside in (False, True)]
    + [("{sum: [fresh]}", True, cache) for cache in ("outside", None)]
    + [("{sum: [fresh, cached, written]}", False, cache) for cache in ("inside", None)]
    + [("[missing, in]", False, None), ("[missing, in]", True, None)],
)
def test_a_call_is_the_same_whichever_way_its_counts_are_logged(
    tmp_path: Path, given: str, outside: bool, cache: str | None
) -> None:
    """100 fresh tokens, 800 from a cache and 60 into it, 30 of text and 12 of reasoning: input 960, output 42."""
    record = {"t": "2026-06-01T00:00:00Z", "m": "gpt-4o", "in": 100 if outside else 960, "fresh": 100, "cached": 800,
              "written": 60, "out": 30, "thought": 12, "total": 1002}  # fmt: skip
    source = tmp_path / "log.jsonl"
    source.write_text(json.dumps(record))
    store, _ = run(
        tmp_path,
        source,
        f"""
{f"cache: {cache}" if cache else ""}
reasoning: outside
fields:
  start_time: t
  request_model: m
  input_tokens: {given}
  cache_read_input_tokens: cached
  cache_creation_input_tokens: written
  output_tokens: out
  reasoning_output_tokens: thought
  {"total_tokens: total" if cache else ""}
""",
    )
    query = """SELECT input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens,
                      reasoning_output_tokens FROM calls"""
    assert rows(store, query) == [(960, 800, 60, 42, 12)]


@pytest.mark.parametrize(
    ("model", "declared", "expected"),
    [("gpt-4o", "", (960, None)), ("claude-sonnet-4-5", "", (None, "ambiguous_usage")),
     ("claude-sonnet-4-5", "cache: inside", (960, None)), ("claude-sonnet-4-5", "cache: outside", (1820, None))],
)  # fmt: skip
def test_what_the_log_and_the_mapping_leave_open_is_flagged(
    tmp_path: Path, model: str, declared: str, expected: tuple[int, str | None]
) -> None:
    source = tmp_path / "log.jsonl"
    source.write_text(json.dumps({"t": 1780000000, "m": model, "in": 960, "cached": 860, "out": 3}))
    store, _ = run(
        tmp_path,
        source,
        f"""
{declared}
fields: {{start_time: t, request_model: m, input_tokens: in, cache_read_input_tokens: cached, output_tokens: out}}
""",
    )
    query = "SELECT input_tokens, code FROM calls LEFT JOIN import_issues USING (call_no)"
    assert rows(store, query) == [expected]


def test_calls_within_documents_know_their_parents_and_those_that_are_none_are_counted(tmp_path: Path) -> None:
    document = {
        "eval": {"run.id": "r1", "model": "gpt-4o"},
        "samples": [
            {"id": "a", "events": [
                {"event": "model", "at": 1780000000, "usage": {"in.put": 5, "out": 2}},
                {"event": "tool", "at": 1780000001},
                {"event": "model", "at": 1780000002, "usage": {"in.put": 7, "out": 0}},
                {"event": "model", "at": "never", "usage": {"in.put": 7, "out": 0}}]},
            {"id": "b", "events": []},
        ],
    }  # fmt: skip
    source = tmp_path / "run.json"
    source.write_text(json.dumps(document, indent=1))
    store, report = run(tmp_path, source, """
rows: samples.*.events
where: {event: model}
failed: {usage.out: 0}
key: [$.eval.run.id, ^.id, at]
fields:
  start_time: at
  request_model: $.eval.model
  conversation_id: ^.id
  input_tokens: usage.in.put
  output_tokens: usage.out
""")  # fmt: skip
    assert (report.calls, report.skipped, report.quarantined) == (2, 1, 1)
    assert rows(store, "SELECT conversation_id, model, input_tokens, status FROM calls ORDER BY start_time") == [
        ("a", "gpt-4o", 5, "ok"), ("a", "gpt-4o", 7, "error")
    ]  # fmt: skip


def test_calls_of_one_document_without_ids_are_told_apart(tmp_path: Path) -> None:
    call = {"at": 1780000000, "in": 5}
    source = tmp_path / "runs.jsonl"
    source.write_text("".join(json.dumps({"run": run_id, "calls": [call, call]}) + "\n" for run_id in range(3)))
    mapping = "rows: calls\nfields: {start_time: at, input_tokens: in}\nconstants: {request_model: gpt-4o}\n"
    store, report = run(tmp_path, source, mapping)
    assert report.calls == 6
    assert ingest(store, [source], mapping=tmp_path / "mapping.yaml", workers=1).calls == 0


@pytest.mark.parametrize(
    ("condition", "kept"),
    [("{n: 3}", [3]), ("{n: [1, 3]}", [1, 3]), ("{n: {not: 3}}", [1, 2]), ("{n: {above: 1, below: 3}}", [2]),
     ("{gone: {not: null}}", [2]), ("{gone: null}", [1, 3]), ("{ok: true}", [1, 3]), ("{n: {above: 1}, ok: true}", [3]),
     ("{n: '3'}", [3])],
)  # fmt: skip
def test_conditions(tmp_path: Path, condition: str, kept: list[int]) -> None:
    source = tmp_path / "log.jsonl"
    lines = [{"n": 1, "ok": True}, {"n": 2, "ok": False, "gone": "x"}, {"n": "3", "ok": True, "gone": None}]
    source.write_text("".join(json.dumps({"t": 1780000000, "m": "gpt-4o", **line}) + "\n" for line in lines))
    mapping = "fields: {start_time: t, request_model: m, input_tokens: n}\n"
    store, report = run(tmp_path, source, f"where: {condition}\n{mapping}")
    assert [n for (n,) in rows(store, "SELECT input_tokens FROM calls ORDER BY 1")] == kept
    assert report.skipped == 3 - len(kept)


def test_a_word_that_is_no_known_status_is_remarked_on(tmp_path: Path) -> None:
    source = tmp_path / "log.jsonl"
    words = ["OK", "success", 200, "503", "failed", "server_error", "weird"]
    source.write_text("".join(json.dumps({"t": 1780000000, "m": "x", "s": word}) + "\n" for word in words))
    store, _ = run(tmp_path, source, "fields: {start_time: t, request_model: m, status: s}\n")
    assert rows(store, "SELECT status, http_status FROM calls ORDER BY source_row") == [
        ("ok", None), ("ok", None), ("ok", 200), ("error", 503), ("error", None), ("error", None), ("error", None)
    ]  # fmt: skip
    assert rows(store, "SELECT code, detail FROM import_issues WHERE code = 'unknown_status'") == [
        ("unknown_status", "weird")
    ]


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
