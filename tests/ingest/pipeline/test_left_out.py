"""Usage that becomes no call is told: by file, reason, tokens and dollars, and `--strict` fails on it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from ingest.errors import GateError
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.records.claimed_usage import claimed_in_bytes, claimed_usage
from ingest.store.database import Store
from ingest.store.memory import MemoryStore

PAIR = {
    "timestamp": "2026-06-01T09:00:00Z",
    "request": {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]},
    "response": {
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-5.2", "choices": [],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
    },
}  # fmt: skip


def read(tmp_path: Path, rows: list[Any], store: Store | None = None) -> IngestReport:
    path = tmp_path / "log.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return ingest(store or MemoryStore(tmp_path / "store.duckdb"), [path])


def span(name: str, span_id: str, parent: str | None, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": span_id, "parentSpanId": parent or "", "name": name,
        "startTimeUnixNano": "1780304400000000000", "endTimeUnixNano": "1780304401000000000",
        "attributes": [
            {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
            for key, value in attributes.items()
        ],
    }  # fmt: skip


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


RUN = "00f067aa0ba902b7"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5.2",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}  # fmt: skip
SUMS = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}
METRICS = {
    "resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "claude_code.token.usage", "sum": {"aggregationTemporality": 1, "dataPoints": [
            {"asDouble": 900, "attributes": [{"key": "type", "value": {"stringValue": "input"}}]},
            {"asDouble": 100, "attributes": [{"key": "type", "value": {"stringValue": "output"}}]}]}},
        {"name": "claude_code.cost.usage", "sum": {"aggregationTemporality": 1, "dataPoints": [{"asDouble": 0.25}]}},
    ]}]}]
}  # fmt: skip

# rows -> calls, then rows, tokens and dollars that are told as not read
CASES: dict[str, tuple[list[Any], int, tuple[int, int, str]]] = {
    "a good call": ([PAIR], 1, (0, 0, "0")),
    "an impossible count": (
        [PAIR, {**PAIR, "response": {**PAIR["response"], "usage": {"prompt_tokens": -5, "completion_tokens": 200}}}],
        1, (1, 200, "0"),
    ),
    "a record cut in its middle": ([PAIR, json.dumps(PAIR)[:-40]], 1, (1, 1000, "0")),
    "a row of no known kind": ([PAIR, {"kind": "bill", "tokens_used": {"input": 7, "output": 3}}], 1, (1, 10, "0")),
    "a row without usage": ([PAIR, {"kind": "note", "max_tokens": 4096}], 1, (0, 0, "0")),
    "a parent with its child's sums": (
        [export(span("run", RUN, None, SUMS), span("chat", "00f067aa0ba902b8", RUN, CHAT))],
        1, (0, 0, "0"),
    ),
    "a span with usage that is no call": ([export(span("run", RUN, None, {"app.usage.total_tokens": 1200}))], 0,
                                          (1, 1200, "0")),
    "metrics alone": ([METRICS, METRICS], 0, (2, 2000, "0.5")),
    "metrics beside the calls": ([METRICS, export(span("chat", "00f067aa0ba902b8", None, CHAT))], 1, (0, 0, "0")),
    "a LiteLLM row that manages": (
        [{"request_id": "r", "call_type": "aget_responses", "spend": 0.0, "total_tokens": 50, "prompt_tokens": 40,
          "completion_tokens": 10, "startTime": "2026-06-01T09:00:00Z", "model": "gpt-5.2", "api_key": "k"}],
        0, (0, 0, "0"),
    ),
    "a Langfuse span with usage and no model": (
        [{"id": "o1", "traceId": "t", "type": "SPAN", "startTime": "2026-06-01T09:00:00Z", "name": "step",
          "usageDetails": {"input": 70, "output": 30}, "costDetails": {"total": 0.01}}],
        0, (1, 100, "0"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_usage_that_becomes_no_call_is_told_with_its_tokens_and_dollars(case: str, tmp_path: Path) -> None:
    rows, calls, (lost, tokens, dollars) = CASES[case]
    report = read(tmp_path, rows)
    told = report.to_json()["left_out"]
    assert (report.calls, told["rows"], told["tokens"]) == (calls, lost, tokens)
    assert Decimal(told["logged_cost_usd"]) == Decimal(dollars)


@pytest.mark.parametrize("sample", sorted(Path("sample_logs/formats").glob("*.jsonl")), ids=lambda path: path.stem)
def test_no_sample_of_a_format_leaves_usage_out(sample: Path, tmp_path: Path) -> None:
    report = ingest(MemoryStore(tmp_path / "store.duckdb"), [sample])
    assert report.left_out["rows"] == 0
    report.check_strict()


def test_a_second_reading_of_the_same_file_tells_the_same(tmp_path: Path) -> None:
    rows, *_ = CASES["an impossible count"]
    store = Store(tmp_path / "store.duckdb")
    first = read(tmp_path, rows, store)
    again = ingest(store, [tmp_path / "log.jsonl"])
    assert again.calls == 0
    assert again.left_out == first.left_out
    with pytest.raises(GateError, match="1 rows with usage were not read"):
        again.check_strict()


def test_a_line_that_was_not_finished_is_not_lost_once_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    line = json.dumps({**PAIR, "response": {**PAIR["response"], "id": "chatcmpl-2"}})
    path.write_text(json.dumps(PAIR) + "\n" + line[:-30])
    store = Store(tmp_path / "store.duckdb")
    assert ingest(store, [path]).left_out["rows"] == 1
    path.write_text(json.dumps(PAIR) + "\n" + line + "\n")
    report = ingest(store, [path])
    assert (report.calls, report.left_out["rows"]) == (1, 0)
    assert ingest(store, [path]).left_out["rows"] == 0


def test_a_file_of_no_known_format_in_a_folder_is_told_where_it_names_usage(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "calls.jsonl").write_text(json.dumps(PAIR) + "\n")
    (folder / "config.json").write_text(json.dumps({"max_tokens": 4096, "cost_limit": 5}))
    (folder / "other.json").write_text(json.dumps({"runs": {"a": {"input_tokens": 7, "output_tokens": 3}}}))
    report = ingest(Store(tmp_path / "store.duckdb"), [folder])
    assert report.passed_over_usage == [str(folder / "other.json")]
    with pytest.raises(GateError, match="no known format"):
        report.check_strict()


def test_strict_fails_on_a_call_whose_tokens_have_two_readings(tmp_path: Path) -> None:
    usage = {"input_tokens": 500, "cache_read_input_tokens": 200, "output_tokens": 10, "total_tokens": 510}
    report = read(tmp_path, [{**PAIR, "response": {**PAIR["response"], "usage": usage}}])
    assert report.ambiguous == 1
    with pytest.raises(GateError, match="two ways"):
        report.check_strict()


def test_the_first_line_of_the_command_says_what_was_not_read_and_strict_exits_1(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in CASES["an impossible count"][0]))
    store = str(tmp_path / "store.duckdb")
    done = CliRunner().invoke(app, ["ingest", str(path), "--store", store])
    assert done.exit_code == 0
    assert "Not read: 1 row with usage (200 tokens)." in done.output.splitlines()[0]
    assert CliRunner().invoke(app, ["ingest", str(path), "--store", store, "--strict"]).exit_code == 1


@pytest.mark.parametrize(
    ("record", "tokens"),
    [
        ({"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}, 15),
        ({"usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}}, 105),
        ({"a": {"usage": {"input": 10, "output": 5}}, "usageDetails": {"input": 10, "output": 5}}, 15),
        ({"messages": [{"tokens": {"input": 10, "output": 5}}, {"tokens": {"input": 20, "output": 5}}]}, 40),
        ({"tokensIn": "1,000", "tokensOut": 5}, 1005),
        ({"text": json.dumps({"input_tokens": 10, "output_tokens": 5})}, 15),
        ({"max_tokens": 4096, "tokens_per_second": 50, "first_token_ms": 3, "token": "abc"}, 0),
        ({"rate_limits": {"tokens_remaining": 100, "tokens_limit": 200}}, 0),
        ({"prompt_eval_count": 12, "eval_count": 3}, 15),
    ],
)
def test_the_claim_of_a_record_is_what_its_own_names_say(record: Any, tokens: int) -> None:
    assert claimed_usage(record).tokens == tokens


def test_bytes_that_are_no_json_claim_by_their_names_too() -> None:
    assert claimed_in_bytes(b'{"prompt_tokens": 7, "completion_tokens": 3, "spe').tokens == 10
    assert not any(claimed_in_bytes(rb'{"text": "he said \"prompt_tokens\": 7'))


NAMELESS = {
    "langfuse": {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-06-01T09:00:00Z",
                 "usageDetails": {"input": 1000, "output": 200}},
    "otlp": export(span("chat", RUN, None, {key: n for key, n in CHAT.items() if key != "gen_ai.request.model"})),
    "helicone": {"request_id": "r", "request_created_at": "2026-06-01T09:00:00Z", "request_body": "{}",
                 "response_body": "{}", "response_status": 200, "prompt_tokens": 1000, "completion_tokens": 200,
                 "total_tokens": 1200},
    "bedrock": {"schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-06-01T09:00:00Z",
                "requestId": "r", "operation": "Converse", "input": {"inputTokenCount": 1000},
                "output": {"outputTokenCount": 200}},
}  # fmt: skip


@pytest.mark.parametrize("format", NAMELESS)
def test_a_row_with_tokens_and_no_model_is_a_call_and_not_set_aside(format: str, tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store.duckdb")
    report = read(tmp_path, [NAMELESS[format]], store)
    assert (report.calls, report.quarantined, report.left_out["rows"]) == (1, 0, 0)
    assert report.files[0]["format"] == format
    assert report.files[0]["flagged"]["no_model"] == 1
    with store.read() as con:
        assert con.execute("SELECT input_tokens, output_tokens, model FROM calls").fetchall() == [(1000, 200, None)]


COPILOT = [
    {"type": "session.start", "id": "1", "timestamp": "2026-09-10T10:00:00Z", "data": {"sessionId": "s"}},
    {"type": "assistant.message", "id": "2", "timestamp": "2026-09-10T10:00:01Z", "data": {"outputTokens": 50}},
    {"type": "session.shutdown", "id": "3", "timestamp": "2026-09-10T10:00:02Z", "data": {"modelMetrics": {
        "gpt-4.1": {"usage": {"inputTokens": 1000, "outputTokens": 50}}}}},
]  # fmt: skip
CHAT = {"sessionId": "g", "projectHash": "p", "startTime": "2026-09-10T10:00:00Z", "messages": [
    {"id": "u", "timestamp": "2026-09-10T10:00:00Z", "type": "user", "content": "hi"},
    {"id": "m", "timestamp": "2026-09-10T10:00:00Z", "type": "gemini", "model": "gemini-2.5-pro", "content": "ok",
     "tokens": {"input": 1000, "output": 50, "cached": 400, "thoughts": 100, "tool": 0, "total": 1150}},
]}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "calls", "left"),
    [(COPILOT, 1, (0, 0)), (COPILOT[:2], 0, (1, 50)), ([CHAT], 1, (0, 0))],
    ids=["a sum has the message", "no sum came", "a message beside the call in one document"],
)
def test_a_part_of_a_sum_or_a_neighbour_is_left_out_only_where_nothing_counts_it(
    tmp_path: Path, rows: list[Any], calls: int, left: tuple[int, int]
) -> None:
    report = read(tmp_path, rows)
    assert (report.calls, report.left_out["rows"], report.left_out["tokens"]) == (calls, *left)
