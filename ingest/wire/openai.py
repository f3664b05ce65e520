"""OpenAI's two dialects, as OpenAI, Azure and the many compatible servers speak them: chat completions and Responses.

Shapes after openai/openai-openapi (2026-10). A streamed answer's last chunk carries the usage.
"""

from __future__ import annotations

from typing import Any

from ingest.records import agent_names, server_tools
from ingest.records.call import Call, text_or_none
from ingest.records.token_usage import apply_usage
from ingest.wire.streaming import usage_of

_NOT_PARAMS = frozenset({"model", "messages", "tools", "input", "instructions", "functions"})
STANDARD_TIERS = frozenset({"default", "auto", "standard", "on_demand", "on-demand", ""})


def matches_request(body: Any) -> bool:
    """Whether the body is a request of chat completions, Responses or embeddings."""
    return isinstance(body, dict) and "model" in body and ("messages" in body or "input" in body)


def matches_chat(body: Any) -> bool:
    """Whether the body is a chat completion."""
    if not isinstance(body, dict):
        return False
    kind = body.get("object")
    if kind in ("chat.completion", "chat.completion.chunk", "text_completion"):
        return True
    return kind is None and "choices" in body and ("usage" in body or "model" in body)


def matches_responses(body: Any) -> bool:
    """Whether the body is an answer of the Responses API, or of its compaction, which is a run of the model too."""
    return isinstance(body, dict) and body.get("object") in ("response", "response.compaction")


def matches_embedding(body: Any) -> bool:
    """Whether the body is a list of embeddings."""
    return (
        isinstance(body, dict)
        and body.get("object") == "list"
        and isinstance(body.get("usage"), dict)
        and "model" in body
    )


def apply_request(call: Call, body: dict[str, Any]) -> None:
    """Messages, tools and parameters of a chat or Responses request."""
    get = body.get
    call.request_model = text_or_none(get("model")) or call.request_model
    messages = get("messages")
    if isinstance(messages, list):
        call.messages = messages or None
    elif "input" in body:
        call.messages = _responses_input(get("instructions"), get("input"))
    elif isinstance(get("prompt"), str):
        call.messages = [{"role": "user", "content": get("prompt")}]
    tools = get("tools") or get("functions")
    call.tools = tools if isinstance(tools, list) and tools else None
    call.params = {name: value for name, value in body.items() if name not in _NOT_PARAMS} or None
    apply_parameters(call, body)
    agent_names.from_metadata(call, get("metadata"))


def apply_parameters(call: Call, body: dict[str, Any]) -> None:
    """Parameters that are columns of their own."""
    get = body.get
    temperature = get("temperature")
    if isinstance(temperature, int | float) and not isinstance(temperature, bool):
        call.temperature = float(temperature)
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        if type(get(name)) is int:
            call.max_tokens = get(name)
            break
    if isinstance(get("stream"), bool):
        call.stream = get("stream")
    effort = get("reasoning_effort")
    reasoning = get("reasoning")
    if effort is None and isinstance(reasoning, dict):
        effort = reasoning.get("effort")
    call.reasoning_effort = text_or_none(effort) or call.reasoning_effort
    shape = get("response_format")
    if isinstance(shape, dict):
        call.response_format = text_or_none(shape.get("type"))
    written = get("text")
    if isinstance(written, dict) and isinstance(written.get("format"), dict):
        call.response_format = text_or_none(written["format"].get("type"))
    if call.user_id is None:
        call.user_id = text_or_none(get("safety_identifier") or get("user"))
    prompt = get("prompt")
    if isinstance(prompt, dict):
        call.prompt_name = text_or_none(prompt.get("id"))
        call.prompt_version = text_or_none(prompt.get("version"))
    tier = text_or_none(get("service_tier"))
    if tier and tier not in STANDARD_TIERS:
        call.service_tier = tier


def _responses_input(instructions: Any, given: Any) -> list[Any] | None:
    messages: list[Any] = []
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
    elif isinstance(given, list):
        messages.extend({"role": "user", "content": item} if isinstance(item, str) else item for item in given)
    return messages or None


def apply_chat(call: Call, body: dict[str, Any]) -> None:
    """A chat completion, its last chunk, or an older text completion."""
    get = body.get
    call.response_id = text_or_none(get("id"))
    call.response_model = text_or_none(get("model"))
    call.operation_name = "text_completion" if get("object") == "text_completion" else "chat"
    apply_usage(call, usage_of(body), "$.usage")
    tier = text_or_none(get("service_tier"))
    if tier:  # what the response says is what was billed
        call.service_tier = None if tier in STANDARD_TIERS else tier
    choices = get("choices")
    if isinstance(choices, list) and choices:
        messages = []
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            message = choice.get("message")
            if isinstance(message, dict):
                messages.append(message)
            elif isinstance(choice.get("text"), str):
                messages.append({"role": "assistant", "content": choice["text"]})
            call.finish_reason = text_or_none(choice.get("finish_reason")) or call.finish_reason
        call.output = messages or None
    if isinstance(get("metadata"), dict):
        agent_names.from_metadata(call, get("metadata"))


def apply_responses(call: Call, body: dict[str, Any]) -> None:
    """A Responses API answer. It repeats the request's parameters, which serve where no request was logged."""
    get = body.get
    call.response_id = text_or_none(get("id"))
    call.response_model = text_or_none(get("model"))
    call.operation_name = "chat"
    apply_usage(call, get("usage"), "$.usage")
    if call.params is None:
        apply_parameters(call, body)
    tier = text_or_none(get("service_tier"))
    if tier:
        call.service_tier = None if tier in STANDARD_TIERS else tier
    state = get("status")
    if state == "completed":
        call.finish_reason = "stop"
    elif state == "incomplete":
        details = get("incomplete_details")
        call.finish_reason = text_or_none(details.get("reason")) if isinstance(details, dict) else "incomplete"
    elif state == "cancelled":
        call.status = "cancelled"
    if state == "failed" or get("error"):
        call.status = "error"
        failure = get("error")
        call.error_type = text_or_none(failure.get("code")) if isinstance(failure, dict) else call.error_type
    output = get("output")
    if isinstance(output, list) and output:
        call.output = [item for item in output if isinstance(item, dict)] or None
        if any(item.get("type") == "function_call" for item in call.output or ()):
            call.finish_reason = "tool_calls"
    server_tools.from_responses(call, body)
    conversation = get("conversation")
    if isinstance(conversation, dict):
        call.conversation_id = text_or_none(conversation.get("id"))
    if isinstance(get("metadata"), dict):
        agent_names.from_metadata(call, get("metadata"))


def apply_embedding(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer with embeddings, or with the ranks of a reranker (Voyage, Jina), tells."""
    call.response_model = text_or_none(body.get("model"))
    rows = body.get("data")
    ranks = isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and "relevance_score" in rows[0]
    call.operation_name = "rerank" if ranks else "embeddings"
    apply_usage(call, body.get("usage"), "$.usage")


def apply_error(call: Call, body: Any) -> bool:
    """An error body `{"error": {...}}`; True if it was one."""
    if not isinstance(body, dict) or "error" not in body or not body["error"]:
        return False
    failure = body["error"]
    call.status = "error"
    if isinstance(failure, dict):
        call.error_type = text_or_none(failure.get("code")) or text_or_none(failure.get("type"))
    else:
        call.error_type = text_or_none(failure)
    call.error_type = (call.error_type or "error")[:80]
    call.tokens_source = "missing"
    return True
