"""What each tool's log is known to get wrong, and the real samples that show it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from builder import in_memory

from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from sample_logs.formats.truth import true_calls
from sample_logs.formats.writers import WRITERS


def read(
    tmp_path: Path,
    records: list[dict[str, Any]] | str,
    name: str = "log.jsonl",
    kept: Callable[[Path], Store] = in_memory,
) -> tuple[Store, IngestReport]:
    path = tmp_path / name
    path.write_text(records if isinstance(records, str) else "".join(json.dumps(one) + "\n" for one in records))
    store = kept(tmp_path / "s.duckdb")
    report = ingest(store, [path], workers=1)
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped
    return store, report


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(query).fetchall()


# -- Claude Code ---------------------------------------------------------------------------------------------------


def turn(
    message: str, request: str | None, out: int, *, uuid: str = "", side: bool = False, **usage: int
) -> dict[str, Any]:
    return {
        "type": "assistant", "sessionId": "s", "uuid": uuid or f"{message}-{out}", "requestId": request,
        "isSidechain": side, "timestamp": "2026-03-02T10:00:00Z", "cwd": "/home/dev/atlas",
        "message": {"id": message, "role": "assistant", "model": "claude-sonnet-4-5",
                    "content": [{"type": "text", "text": "x"}],
                    "usage": {"input_tokens": 5, "output_tokens": out, **usage}},
    }  # fmt: skip


def test_the_rows_of_one_message_are_one_call_with_its_largest_count(tmp_path: Path) -> None:
    store, report = read(
        tmp_path, [turn("m1", "r1", 3), turn("m1", "r1", 25), turn("m1", "r1", 25), turn("m2", "r2", 7)]
    )
    assert (report.calls, report.duplicates) == (2, 2)
    assert rows(store, "SELECT output_tokens FROM calls ORDER BY call_no") == [(25,), (7,)]


def test_a_sidechain_replay_is_no_new_call_and_the_main_row_stays(tmp_path: Path) -> None:
    records = [turn("m1", "r1", 9), turn("m1", "r9", 9, side=True), turn("m2", "r8", 4, side=True), turn("m2", "r2", 4)]
    store, report = read(tmp_path, records)
    assert (report.calls, report.duplicates) == (2, 2)
    assert rows(store, "SELECT DISTINCT agent FROM calls") == [("main",)]


def test_two_requests_of_one_message_id_are_two_calls(tmp_path: Path) -> None:
    _, report = read(tmp_path, [turn("m1", "r1", 9), turn("m1", "r2", 9)])
    assert report.calls == 2


def test_rows_without_a_message_id_are_all_kept(tmp_path: Path) -> None:
    record = turn("x", None, 9)
    del record["message"]["id"]
    _, report = read(tmp_path, [record, record])
    assert report.calls == 2


def test_a_transcript_read_while_it_was_written_ends_with_the_full_count(tmp_path: Path) -> None:
    store, first = read(tmp_path, [turn("m1", "r1", 3)], kept=Store)
    store, second = read(tmp_path, [turn("m1", "r1", 3), turn("m1", "r1", 250), turn("m2", "r2", 1)], kept=Store)
    assert (first.calls, second.calls) == (1, 1)
    assert rows(store, "SELECT output_tokens FROM calls ORDER BY call_no") == [(250,), (1,)]


def test_what_the_tool_wrote_itself_is_no_call(tmp_path: Path) -> None:
    own = turn("m1", None, 0)
    own["message"]["model"] = "<synthetic>"
    _, report = read(tmp_path, [own, turn("m2", "r2", 5), {"type": "summary", "summary": "s", "leafUuid": "u"}])
    assert (report.calls, report.skipped) == (1, 2)


def test_a_call_was_sent_the_turns_before_it(tmp_path: Path) -> None:
    ask = {"type": "user", "sessionId": "s", "uuid": "u1", "parentUuid": None, "timestamp": "2026-03-02T10:00:00Z",
           "message": {"role": "user", "content": "first"}}  # fmt: skip
    answer = {**turn("m1", "r1", 5, uuid="a1"), "parentUuid": "u1"}
    again = {**ask, "uuid": "u2", "parentUuid": "a1", "message": {"role": "user", "content": "second"}}
    last = {**turn("m2", "r2", 5, uuid="a2"), "parentUuid": "u2"}
    store, _ = read(tmp_path, [ask, answer, again, last])
    assert rows(store, "SELECT len(message_ids), content_state FROM calls ORDER BY call_no") == [
        (1, "truncated"), (3, "truncated"),
    ]  # fmt: skip


def test_a_real_session_counts_each_message_once(tmp_path: Path, data: Path) -> None:
    source = data / "claude_code_session.jsonl"
    largest: dict[str, int] = {}
    for line in source.read_text().splitlines():
        message = json.loads(line).get("message") or {}
        if "usage" in message:
            largest[message["id"]] = max(largest.get(message["id"], 0), message["usage"]["output_tokens"])
    store = in_memory(tmp_path / "s.duckdb")
    report = ingest(store, [source])
    assert (report.calls, report.duplicates, report.quarantined) == (20, 8, 0)
    assert rows(store, "SELECT count(*), sum(output_tokens) FROM calls") == [(len(largest), sum(largest.values()))]


# -- Codex ---------------------------------------------------------------------------------------------------------


def test_a_repeated_running_total_is_no_new_turn_also_in_an_archive(tmp_path: Path) -> None:
    text = WRITERS["codex"][1](true_calls(5))
    (tmp_path / "archived.jsonl").write_text(text)
    store, report = read(tmp_path, text)
    assert (report.calls, report.duplicates) == (5, 5)
    again = ingest(store, [tmp_path / "archived.jsonl"], workers=1)
    assert again.calls == 0
    assert rows(store, "SELECT sum(output_tokens) FROM calls") == [(sum(call.output_tokens for call in true_calls(5)),)]


# -- traces --------------------------------------------------------------------------------------------------------


def test_parents_that_repeat_usage_are_not_summed_whatever_the_order(tmp_path: Path) -> None:
    truth = true_calls(6)
    lines = WRITERS["otlp"][1](truth).splitlines()
    for name, order in (("a", lines), ("b", lines[::-1])):
        folder = tmp_path / name
        folder.mkdir()
        store, _ = read(folder, "\n".join(order) + "\n")
        assert rows(store, "SELECT sum(input_tokens), count(*) FROM calls") == [
            (sum(call.input_tokens for call in truth), 6)
        ]
        assert rows(store, "SELECT DISTINCT agent_source FROM calls") == [("ancestor",)]


def test_old_and_new_names_of_one_count_are_not_added_up(tmp_path: Path) -> None:
    line = json.loads(WRITERS["otlp"][1](true_calls(1)))
    span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["attributes"] += [{"key": "gen_ai.usage.prompt_tokens", "value": {"intValue": "999999"}},
                           {"key": "llm.usage.total_tokens", "value": {"intValue": 1}}]  # fmt: skip
    store, _ = read(tmp_path, [line])
    assert rows(store, "SELECT input_tokens FROM calls") == [(true_calls(1)[0].input_tokens,)]


def test_one_bad_span_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    line = json.loads(WRITERS["otlp"][1](true_calls(1)))
    spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"]
    bad = json.loads(json.dumps(spans[0]))
    bad["spanId"] = "00f067aa0ba902b7"
    bad["attributes"][6]["value"] = {"intValue": "-5"}
    spans.insert(0, bad)
    _, report = read(tmp_path, [line])
    assert (report.calls, report.quarantined) == (1, 1)


def test_recorded_traces_give_the_usage_of_their_leaves(tmp_path: Path, data: Path) -> None:
    store = in_memory(tmp_path / "s.duckdb")
    ingest(store, [data / "fixtures" / "langfuse"], workers=1)
    assert rows(store, "SELECT model, input_tokens, output_tokens FROM calls ORDER BY input_tokens") == [
        ("gpt-4o-mini-2024-07-18", 131, 69), ("gpt-4o-mini-2024-07-18", 417, 53), ("gemini-2.5-flash", 1200, 15),
    ]  # fmt: skip


# -- one call in two tools -----------------------------------------------------------------------------------------


def test_a_call_that_two_tools_logged_without_a_shared_id_is_taken_once(tmp_path: Path) -> None:
    truth = true_calls(30)
    (tmp_path / "rest.jsonl").write_text(WRITERS["openai_agents"][1](truth))  # has no response ids
    store, first = read(tmp_path, WRITERS["openai_chat"][1](truth))
    second = ingest(store, [tmp_path / "rest.jsonl"], workers=1)
    assert (first.calls, second.calls) == (30, 0)
    assert second.to_json()["logged_elsewhere"] == 30
    other = in_memory(tmp_path / "o.duckdb")
    both = ingest(other, [tmp_path / "log.jsonl", tmp_path / "rest.jsonl"], workers=1, match_formats=False)
    assert both.calls == 60


def test_equal_calls_in_a_row_stay_several_when_another_tool_logged_one_of_them(tmp_path: Path) -> None:
    def line(number: int) -> dict[str, Any]:
        return {"hindcast": 1, "call_id": f"c{number}", "start_time": "2026-03-02T10:00:00Z", "request_model": "gpt-4o",
                "input_tokens": 10, "output_tokens": 2}  # fmt: skip

    store, _ = read(tmp_path, [line(1), line(2), line(3)])
    span = {"object": "trace.span", "id": "span_1", "trace_id": "t", "started_at": "2026-03-02T10:00:01Z",
            "ended_at": "2026-03-02T10:00:02Z",
            "span_data": {"type": "generation", "model": "gpt-4o",
                          "usage": {"input_tokens": 10, "output_tokens": 2}}}  # fmt: skip
    _, report = read(tmp_path, [span, {**span, "id": "span_2"}], "other.jsonl")
    assert (report.calls, report.duplicates) == (0, 2)
    assert rows(store, "SELECT count(*) FROM calls") == [(3,)]


# -- gateways, units, times ----------------------------------------------------------------------------------------


def test_a_gateway_cache_hit_is_told_however_it_is_written(tmp_path: Path) -> None:
    base = json.loads(WRITERS["litellm"][1](true_calls(1)))
    records = [
        {**base, "id": f"x{n}", "cache_hit": value} for n, value in enumerate((True, "True", False, "None", "", None))
    ]
    store, _ = read(tmp_path, records)
    assert rows(store, "SELECT status, count(*) FROM calls GROUP BY 1 ORDER BY 1") == [
        ("gateway_cache_hit", 2),
        ("ok", 4),
    ]


def test_cents_are_cents(tmp_path: Path) -> None:
    truth = true_calls(3)
    store, _ = read(tmp_path, WRITERS["portkey"][1](truth))
    found = [amount for (amount,) in rows(store, "SELECT logged_cost_usd FROM calls ORDER BY call_no")]
    assert found == [Decimal(call.cost).quantize(Decimal("1e-12")) for call in truth]


def test_ticks_of_dotnet_are_a_moment(tmp_path: Path) -> None:
    record = {"category": "RequestResponse", "resourceId": "/x", "time": "2024-05-17T07:04:50Z", "durationMs": 5,
              "properties": {"requestTime": 638515262815394150, "modelDeploymentName": "d",
                             "modelName": "gpt-4o"}}  # fmt: skip
    store, _ = read(tmp_path, [record])
    assert rows(store, "SELECT start_time, tokens_source FROM calls") == [
        (datetime(2024, 5, 17, 7, 4, 41, 539415, UTC).replace(tzinfo=None), "missing")
    ]


def test_a_stream_counts_its_last_cumulative_usage(tmp_path: Path, data: Path) -> None:
    store = in_memory(tmp_path / "s.duckdb")
    ingest(store, [data / "fixtures" / "anthropic"], workers=1)
    assert rows(store, "SELECT request_model, model, input_tokens, output_tokens FROM calls ORDER BY input_tokens") == [
        (None, "claude-3-opus-latest", 11, 6), ("claude-opus-4-7", "claude-sonnet-4-5", 25, 8),
    ]  # fmt: skip


@pytest.mark.parametrize("wrapped", ["request", "text", "http", "flat", "stream"])
def test_a_pair_is_read_from_any_wrapper(tmp_path: Path, wrapped: str) -> None:
    record = json.loads(WRITERS["openai_chat"][1](true_calls(1)))
    request, response = record["request"], record["response"]
    chunks = [{"id": response["id"], "object": "chat.completion.chunk", "created": response["created"],
               "model": response["model"], "choices": [
                   {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]},
              {"id": response["id"], "object": "chat.completion.chunk", "created": response["created"],
               "model": response["model"], "choices": [], "usage": response["usage"]}]  # fmt: skip
    shapes = {
        "request": {"request": request, "response": response, "timestamp": record["timestamp"]},
        "text": {"input": json.dumps(request), "output": json.dumps(response), "ts": record["timestamp"]},
        "http": {"req": {"method": "POST", "body": request}, "resp": {"status": 200, "body": json.dumps(response)}},
        "flat": {**request, **response},
        "stream": {"request": request,
                   "response": "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n"},
    }  # fmt: skip
    store, _ = read(tmp_path, [shapes[wrapped]])
    truth = true_calls(1)[0]
    assert rows(store, "SELECT input_tokens, output_tokens, model, response_id FROM calls") == [
        (truth.input_tokens, truth.output_tokens, truth.model, truth.id)
    ]
    assert rows(store, "SELECT len(message_ids) FROM calls") == [(2,)]


# -- who called ----------------------------------------------------------------------------------------------------


def test_agents_are_named_in_the_order_of_trust(tmp_path: Path) -> None:
    base = {
        "hindcast": 1,
        "start_time": "2026-03-02T10:00:00Z",
        "request_model": "m",
        "input_tokens": 1,
        "output_tokens": 1,
    }
    system = [{"role": "system", "content": "You are run 17 of the planner."}]
    other = [{"role": "system", "content": "You are run 18 of the planner."}]
    records = [
        {**base, "call_id": "1", "agent": "a", "tags": ["agent:b"], "input_messages": system},
        {**base, "call_id": "2", "tags": ["component:b", "phase:p"], "workflow_name": "w"},
        {**base, "call_id": "3", "workflow_name": "w", "service_name": "s"},
        {**base, "call_id": "4", "service_name": "s", "input_messages": system},
        {**base, "call_id": "5", "input_messages": system},
        {**base, "call_id": "6", "input_messages": other},
        {**base, "call_id": "7"},
    ]  # fmt: skip
    store, _ = read(tmp_path, records)
    found = rows(store, "SELECT agent, agent_source, task FROM calls ORDER BY call_no")
    assert found[:4] == [("a", "attribute", None), ("b", "tag", "p"), ("w", "workflow", None), ("s", "service", None)]
    assert found[4] == found[5]
    assert found[4][1] == "system_prompt"
    assert found[6] == (None, None, None)


def test_rows_that_break_an_invariant_are_kept_and_flagged(tmp_path: Path) -> None:
    record = {"hindcast": 1, "start_time": "2026-03-02T10:00:00Z", "end_time": "2026-03-02T09:00:00Z",
              "request_model": "m", "input_tokens": 10, "output_tokens": 5, "reasoning_output_tokens": 9}  # fmt: skip
    store, _ = read(tmp_path, [record])
    codes = {code for (code,) in rows(store, "SELECT code FROM import_issues")}
    assert codes == {"impossible_duration", "reasoning_outside_output"}
    assert rows(store, "SELECT output_tokens, tokens_source FROM calls") == [(14, "summed")]


def test_every_recorded_sample_is_recognised(tmp_path: Path, data: Path) -> None:
    store = in_memory(tmp_path / "s.duckdb")
    report = ingest(store, [data / "fixtures"], workers=1)
    by_name = {Path(file["path"]).name: (file["format"], file["calls"], file["quarantined"]) for file in report.files}
    assert report.quarantined == 0
    assert len(report.passed_over) == 2  # a list of usage objects and a table of sources: no logs
    assert by_name == {
        "sdk_basic_response.sse.txt": ("event_stream", 1, 0), "sdk_fallback_response.sse.txt": ("event_stream", 1, 0),
        "ccusage_chat_alpha.jsonl": ("claude_code", 3, 0), "tokscale_conversation.jsonl": ("claude_code", 2, 0),
        "claude-code-log_representative_messages.jsonl": ("claude_code", 5, 0),
        "claude-code-log_subagent.trimmed.jsonl": ("claude_code", 1, 0),
        "ccusage_session_alpha.jsonl": ("codex", 2, 0),
        "google-vertex-tools-langchain-2025-09-19.trimmed.json": ("langfuse", 1, 0),
        "pydantic-ai-tools-2025-12-04.trimmed.json": ("langfuse", 2, 0),
        "langsmith_js_wrap_openai_stream.json": ("langsmith", 1, 0),
        "standard_logging_payload.jsonl": ("litellm", 1, 0),
        "llm-observe-proxy_hf_router_chat_completion.json": ("openai_chat", 1, 0),
        "llm-observe-proxy_openai_chat_completion.json": ("openai_chat", 1, 0),
        "llm-observe-proxy_openai_responses.json": ("openai_responses", 1, 0),
        "openapi_chat_completion.json": ("openai_chat", 1, 0),
        "openapi_stored_chat_completion_list.json": ("openai_chat", 1, 0),
        "openapi_costs_result.json": ("provider_usage", 0, 0),
        "openapi_usage_completions_result.json": ("provider_usage", 0, 0),
        "otel-contrib_chat_extra_params.vcr.yaml": ("recorded_http", 1, 0), "tokscale_msg.json": ("opencode", 1, 0),
    }  # fmt: skip
    assert rows(store, """SELECT model, input_tokens, cache_read_input_tokens, output_tokens, reasoning_output_tokens
                            FROM calls WHERE model LIKE 'gpt-5.%' ORDER BY start_time""") == [
        ("gpt-5.2-codex", 1000, 250, 125, 75), ("gpt-5.3-codex", 2500, 500, 300, 200),
    ]  # fmt: skip
    assert rows(store, "SELECT input_tokens, output_tokens FROM calls WHERE service_name = 'opencode'") == [(1300, 500)]
