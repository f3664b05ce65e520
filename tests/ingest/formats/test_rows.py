"""What the rows of gateways and tracing tools are known to say in their own way."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from sample_logs.formats import rows
from sample_logs.formats.truth import true_calls
from sample_logs.formats.writers import WRITERS


def read(tmp_path: Path, log: list[dict[str, Any]] | str, name: str = "log.jsonl") -> tuple[IngestReport, list[Any]]:
    path = tmp_path / name
    path.write_text(log if isinstance(log, str) else "".join(json.dumps(row) + "\n" for row in log))
    store = Store(tmp_path / "s.duckdb")
    report = ingest(store, [path], workers=1)
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped
    with store.read() as con:
        found = con.execute("SELECT * FROM calls ORDER BY call_no")
        names = [column[0] for column in found.description]
        return report, [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def generation(**values: Any) -> dict[str, Any]:
    return {"data": {"id": "gen-1", "created_at": "2026-06-01T09:00:00Z", "model": "openai/gpt-5.4",
                     "native_tokens_prompt": 900, "native_tokens_completion": 70, "total_cost": 0.002, "usage": 0.002,
                     "is_byok": False, **values}}  # fmt: skip


@pytest.mark.parametrize(("values", "cost"), [
    ({}, "0.002"),
    ({"is_byok": True, "upstream_inference_cost": 0.04}, "0.042"),
    ({"is_byok": False, "upstream_inference_cost": 0.04}, "0.002"),
    ({"is_byok": True, "upstream_inference_cost": None}, "0.002"),
])  # fmt: skip
def test_a_key_of_ones_own_costs_the_fee_and_what_the_provider_charged(
    tmp_path: Path, values: dict[str, Any], cost: str
) -> None:
    _, (call,) = read(tmp_path, [generation(**values)])
    assert call["logged_cost_usd"] == Decimal(cost)


@pytest.mark.parametrize(("identity", "provider"), [("gen-1780304400-x", "openrouter"), ("gen_01ARZ3NDEK", "vercel")])
def test_the_generations_of_vercels_gateway_are_its_own(tmp_path: Path, identity: str, provider: str) -> None:
    _, (call,) = read(tmp_path, [generation(id=identity)])
    assert call["provider_name"] == provider


def test_the_consoles_exports_are_reports_and_no_calls(tmp_path: Path) -> None:
    head = ("usage_date_utc,model_version,api_key,workspace,usage_type,usage_input_tokens_no_cache,"
            "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
            "usage_output_tokens,web_search_count")  # fmt: skip
    report, calls = read(
        tmp_path, f"{head}\n2026-08-05,claude-opus-5,k,Default,standard,700,10,20,300,55,2\n", "usage.csv"
    )
    assert (calls, report.quarantined) == ([], 0)
    with Store(tmp_path / "s.duckdb").read() as con:
        found = dict(con.execute("SELECT token_kind, quantity FROM usage_buckets").fetchall())
    assert {kind: int(amount) for kind, amount in found.items()} == {
        "uncached_input_tokens": 700, "cache_creation_5m_input_tokens": 10, "cache_creation_1h_input_tokens": 20,
        "cache_read_input_tokens": 300, "output_tokens": 55, "web_searches": 2,
    }  # fmt: skip


def test_a_claude_row_of_new_api_counts_its_cache_apart(tmp_path: Path) -> None:
    other = {"claude": True, "cache_tokens": 4000, "cache_creation_tokens": 500}
    row = {"created_at": 1780304400, "type": 2, "model_name": "claude-sonnet-4-6", "token_name": "t", "quota": 1000,
           "prompt_tokens": 30, "completion_tokens": 8, "other": json.dumps(other), "request_id": "r"}  # fmt: skip
    _, (call,) = read(tmp_path, [row])
    assert (call["input_tokens"], call["cache_read_input_tokens"], call["cache_creation_input_tokens"]) == (
        4530, 4000, 500,
    )  # fmt: skip
    assert call["logged_cost_usd"] == Decimal("0.002")


def test_a_page_of_cloudflares_rows_and_a_hit_in_its_cache(tmp_path: Path) -> None:
    row = {"id": "a", "created_at": "2026-06-01T09:00:00Z", "provider": "openai", "model": "gpt-5-mini",
           "tokens_in": 900, "tokens_out": 70, "cached": False, "cost": 0.001, "success": True,
           "step": 1}  # fmt: skip
    failed = {**row, "id": "c", "success": False, "status_code": 429}
    _, calls = read(tmp_path, [{"result": [row, {**row, "id": "b", "cached": True}, failed], "success": True}])
    assert [call["status"] for call in calls] == ["ok", "gateway_cache_hit", "error"]
    assert [call["attempt"] for call in calls] == [2, 2, 2]


def test_a_retry_of_inspect_ai_is_an_error_call_of_its_own(tmp_path: Path) -> None:
    usage = {"input_tokens": 7, "output_tokens": 123, "total_tokens": 21877, "input_tokens_cache_write": 1101,
             "input_tokens_cache_read": 20646}  # fmt: skip
    event = {"event": "model", "timestamp": "2026-06-01T09:00:00+00:00", "model": "anthropic/claude-sonnet-4-6",
             "output": {"model": "claude-sonnet-4-6", "usage": usage, "choices": []}}  # fmt: skip
    failed = {**event, "output": {"model": "claude-sonnet-4-6", "choices": []}, "error": "overloaded"}
    document = {"eval": {"run_id": "r", "task": "t"}, "samples": [{"id": 1, "epoch": 1, "events": [failed, event]}]}
    _, calls = read(tmp_path, [document])
    assert [(call["status"], call["input_tokens"], call["output_tokens"]) for call in calls] == [
        ("error", None, None), ("ok", 21754, 123),
    ]  # fmt: skip
    assert calls[1]["cache_creation_input_tokens"] == 1101


def test_costs_that_belong_to_no_certain_call_of_openhands_are_left_out(tmp_path: Path) -> None:
    usages = [{"model": "gpt-5-mini", "prompt_tokens": 10 * n, "completion_tokens": n, "response_id": f"r{n}"}
              for n in (1, 2)]  # fmt: skip
    costs = [{"model": "gpt-5-mini", "cost": 0.5, "timestamp": 1780304400.0}]
    run = {"instance_id": "i", "state": {"stats": {"usage_to_metrics": {"coder": {"token_usages": usages,
                                                                                 "costs": costs}}}}}  # fmt: skip
    _, calls = read(tmp_path, [run])
    assert [(call["input_tokens"], call["logged_cost_usd"], call["agent"]) for call in calls] == [
        (10, None, "coder"), (20, None, "coder"),
    ]  # fmt: skip


def test_an_op_of_weave_with_two_models_is_a_call_of_each(tmp_path: Path) -> None:
    usage = {name: {"requests": 1, "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
             for name in ("gpt-5", "gpt-5-mini")}  # fmt: skip
    row = {"id": "1", "trace_id": "t", "parent_id": None, "op_name": "op", "started_at": "2026-06-01T09:00:00Z",
           "ended_at": "2026-06-01T09:00:02Z", "inputs": {}, "output": None, "summary": {"usage": usage}}  # fmt: skip
    _, calls = read(tmp_path, [row])
    assert sorted(call["model"] for call in calls) == ["gpt-5", "gpt-5-mini"]


def test_a_span_of_jaeger_above_a_call_repeats_its_usage_and_is_none(tmp_path: Path) -> None:
    def span(name: str, parent: str | None, operation: str) -> dict[str, Any]:
        tags = {"gen_ai.operation.name": operation, "gen_ai.request.model": "gpt-5-mini",
                "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 70,
                "gen_ai.agent.name": "writer"}  # fmt: skip
        references = [{"refType": "CHILD_OF", "traceID": "ab" * 16, "spanID": parent}] if parent else []
        return {"traceID": "ab" * 16, "spanID": name, "operationName": operation, "references": references,
                "startTime": 1780304400000000, "duration": 2000000, "processID": "p1",
                "tags": [{"key": key, "type": "string", "value": value} for key, value in tags.items()]}  # fmt: skip

    trace = {"traceID": "ab" * 16, "processes": {"p1": {"serviceName": "app", "tags": []}},
             "spans": [span("aa" * 8, None, "invoke_agent"), span("bb" * 8, "aa" * 8, "chat")]}  # fmt: skip
    _, (call,) = read(tmp_path, [trace])
    assert (call["input_tokens"], call["agent"], call["service_name"]) == (900, "writer", "app")


def test_an_unreadable_row_of_a_page_leaves_the_others(tmp_path: Path) -> None:
    row = {"id": "a", "created_at": "2026-06-01T09:00:00Z", "provider": "openai", "model": "m", "tokens_in": 9,
           "tokens_out": 7, "cached": False}  # fmt: skip
    report, calls = read(tmp_path, [{"result": [row, {**row, "id": "b", "tokens_in": -3}, None]}])
    assert (len(calls), report.quarantined) == (1, 2)


CACHELESS = ("cloudflare",)
COSTLESS = ("weave", "datadog_llm", "otel_rows", "inspect_ai", "envoy")
ROUNDED = ("new_api",)  # its quota counts 1/500,000 dollars, and its times whole seconds


@pytest.mark.parametrize("name", sorted(name for name in vars(rows) if name in WRITERS))
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_written_in_a_dialect_is_read_from_it(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    truth = true_calls(12, seed=seed)
    file, writer = WRITERS[name]
    report, calls = read(tmp_path_factory.mktemp(name), writer(truth), file)
    assert (report.calls, report.quarantined) == (len(truth), 0)
    by_time = sorted(calls, key=lambda call: call["start_time"])
    assert [(call["model"], call["input_tokens"], call["output_tokens"]) for call in by_time] == [
        (one.model, one.input_tokens, one.output_tokens) for one in truth
    ]
    if name not in CACHELESS:
        assert [call["cache_read_input_tokens"] or 0 for call in by_time] == [one.cached_tokens for one in truth]
    for call, one in zip(by_time, truth, strict=True):
        assert call["provider_name"] == "openai"
        late = call["start_time"].replace(tzinfo=UTC) - one.start
        assert abs(late.total_seconds()) < (1 if name in ROUNDED else 0.002)
        if name not in COSTLESS:
            assert abs(call["logged_cost_usd"] - Decimal(one.cost)) <= Decimal("0.000002" if name in ROUNDED else "0")


@pytest.mark.parametrize("wrapped", [
    lambda found: {"data": found, "has_more": False}, lambda found: {"result": found, "success": True},
    lambda found: {"data": {"items": found, "page": 1}, "success": True}, lambda found: {"events": found},
])  # fmt: skip
def test_a_page_holds_rows_of_any_kind(tmp_path: Path, wrapped: Any) -> None:
    truth = true_calls(4, seed=2)
    names = ("bifrost", "litellm", "opik", "otlp")
    found = [json.loads(WRITERS[name][1]([one])) for name, one in zip(names, truth, strict=True)]
    report, calls = read(tmp_path, [wrapped([*found[:2], {"of": "no kind"}]), wrapped(found[2:])])
    assert (len(calls), report.quarantined) == (4, 1)
    assert sorted(call["input_tokens"] for call in calls) == sorted(one.input_tokens for one in truth)


def test_a_batch_of_claude_on_vertex_is_a_batch(tmp_path: Path) -> None:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
               "usage": {"input_tokens": 90, "output_tokens": 7}}  # fmt: skip
    row = {"custom_id": "a", "request": {"messages": [], "max_tokens": 9}, "response": message, "status": ""}
    _, (call,) = read(tmp_path, [row])
    assert (call["service_tier"], call["is_batch"], call["provider_name"]) == ("batch", True, "gcp.vertex_ai")


def test_answers_that_an_op_of_weave_does_not_sum_up_are_calls(tmp_path: Path) -> None:
    body = {"id": "c1", "object": "chat.completion", "model": "gpt-5-mini", "choices": [],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}}  # fmt: skip
    row = {"id": "1", "trace_id": "t", "parent_id": None, "op_name": "op", "started_at": "2026-06-01T09:00:00Z",
           "ended_at": None, "inputs": {"model": "gpt-5-mini", "messages": []}, "output": body,
           "summary": {}}  # fmt: skip
    _, (call,) = read(tmp_path, [row])
    assert (call["input_tokens"], call["output_tokens"]) == (10, 2)


def test_chunks_of_a_saved_stream_of_ollama_are_one_call(tmp_path: Path) -> None:
    chunk = {"model": "llama3.2", "created_at": "2026-06-01T09:00:00Z", "message": {"content": "a"}, "done": False}
    last = {**chunk, "done": True, "total_duration": 10**9, "prompt_eval_count": 26, "eval_count": 298}
    report, (call,) = read(tmp_path, [chunk, chunk, last])
    assert (report.skipped, call["input_tokens"], call["output_tokens"], call["duration_ms"]) == (2, 26, 298, 1000)


@pytest.mark.parametrize("names", [("prompt_tokens", "completion_tokens"), ("prompt_token", "completion_token")])
def test_kong_of_any_age_is_read(tmp_path: Path, names: tuple[str, str]) -> None:
    usage = {names[0]: 100, names[1]: 10, "total_tokens": 110, "cost": 0}
    meta = {"provider_name": "openai", "request_model": "gpt-5-mini", "response_model": "gpt-5-mini"}
    row = {"started_at": 1780304400123, "latencies": {"request": 900}, "request": {"id": "r"},
           "response": {"status": 200}, "ai": {"proxy": {"usage": usage, "meta": meta}}}  # fmt: skip
    _, (call,) = read(tmp_path, [row])
    assert (call["input_tokens"], call["output_tokens"], call["logged_cost_usd"]) == (100, 10, None)
