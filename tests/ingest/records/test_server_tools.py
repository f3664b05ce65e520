"""Uses of a provider's tools: each billed kind is counted once, free ones never."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.records import server_tools
from ingest.records.call import Call
from ingest.records.token_usage import apply_usage
from ingest.wire import anthropic, gemini, openai


def counts(call: Call) -> dict[str, int]:
    names = ("server_tool_calls", *server_tools.KINDS)
    return {name: getattr(call, name) for name in names if getattr(call, name) is not None}


def of_usage(**counters: Any) -> dict[str, int]:
    call = Call(request_model="m")
    apply_usage(call, {"prompt_tokens": 9, "completion_tokens": 1, **counters})
    return counts(call)


USAGES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "Anthropic": ({"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 4}},
                  {"server_tool_calls": 2, "web_search_calls": 2}),
    "free tools": ({"server_tool_use": {"tool_search_requests": 2, "web_fetch_requests": 1}}, {}),
    "a container's hours": ({"server_tool_use": {"code_execution_requests": 1}}, {"server_tool_calls": 1}),
    "LiteLLM": ({"prompt_tokens_details": {"web_search_requests": 3}}, {"server_tool_calls": 3, "web_search_calls": 3}),
    "both say it": (
        {"server_tool_use": {"web_search_requests": 3}, "prompt_tokens_details": {"web_search_requests": 3}},
        {"server_tool_calls": 3, "web_search_calls": 3},
    ),
    "xAI sources": ({"num_sources_used": 7}, {"server_tool_calls": 7, "web_search_results": 7}),
    "Mistral": ({"connectors": {"web_search": 2}}, {"server_tool_calls": 2}),
    "nothing used": ({"server_tool_use": {"web_search_requests": 0}, "num_sources_used": 0}, {}),
    "no count": ({"server_tool_use": {"web_search_requests": "many"}}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", USAGES)
def test_a_usage_object_tells_the_uses_of_each_kind(name: str) -> None:
    counters, expected = USAGES[name]
    assert of_usage(**counters) == expected


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "status": "completed", **fields}


RESPONSES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "searches, not pages": (
        {"output": [item("web_search_call", action={"type": "search"}), item("web_search_call"),
                    item("web_search_call", action={"type": "open_page"}), item("web_search_call", status="failed")]},
        {"server_tool_calls": 2, "web_search_calls": 2}),
    "the provider's own count": (
        {"output": [item("web_search_call")] * 3, "tool_usage": {"web_search": {"num_requests": 1}}},
        {"server_tool_calls": 1, "web_search_calls": 1}),
    "one container, two runs": (
        {"output": [item("code_interpreter_call", container_id="c1")] * 2},
        {"server_tool_calls": 1, "code_interpreter_calls": 1}),
    "a larger container": (
        {"output": [item("code_interpreter_call", container_id="c1")],
         "tools": [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}]},
        {"server_tool_calls": 1}),
    "files and images": (
        {"output": [item("file_search_call"), item("image_generation_call"), item("mcp_call"), item("message")]},
        {"server_tool_calls": 2, "file_search_calls": 1, "image_generation_calls": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", RESPONSES)
def test_the_items_of_a_response_are_counted_as_they_are_billed(name: str) -> None:
    body, expected = RESPONSES[name]
    call = Call()
    openai.apply_responses(call, {"object": "response", "model": "gpt-5.4", **body})
    assert counts(call) == expected


GROUNDING: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "distinct queries": ({"webSearchQueries": ["a", "b", "a"]}, {"server_tool_calls": 2, "web_search_calls": 2}),
    "snake case": ({"web_search_queries": ["a"]}, {"server_tool_calls": 1, "web_search_calls": 1}),
    "places": ({"groundingChunks": [{"maps": {}}, {"maps": {}}]}, {"server_tool_calls": 1, "maps_calls": 1}),
    "places and pages": ({"groundingChunks": [{"maps": {}}, {"web": {}}], "webSearchQueries": ["a"]},
                         {"server_tool_calls": 2, "maps_calls": 1, "web_search_calls": 1}),
    "nothing": ({"groundingChunks": []}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUNDING)
def test_grounding_is_counted_by_query_and_by_answer(name: str) -> None:
    grounding, expected = GROUNDING[name]
    call = Call()
    gemini.apply_response(call, {"candidates": [{"content": {"parts": []}, "groundingMetadata": grounding}]})
    assert counts(call) == expected


def test_runs_behind_one_answer_share_its_searches_and_never_double_them() -> None:
    usage = {"input_tokens": 5, "output_tokens": 1, "server_tool_use": {"web_search_requests": 2}}
    runs = [{"type": "message", "input_tokens": 5, "output_tokens": 0}, {"type": "fallback_message", **usage}]
    body = {
        "type": "message",
        "model": "claude-opus-5",
        "stop_reason": "end_turn",
        "usage": {**usage, "iterations": runs},
    }
    call = Call()
    anthropic.apply_response(call, body)
    parts = anthropic.expand(call)
    assert [part.web_search_calls for part in parts].count(2) == 1
    assert sum(part.web_search_calls or 0 for part in parts) == 2
    assert [part.finish_reason for part in parts] == ["refusal", "end_turn"]
