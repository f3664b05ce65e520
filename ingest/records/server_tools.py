"""Tools that a provider runs itself and bills by the piece: how often each was used, by what the answer says.

Provider documentation of 2026-10, unless a rule names another date. Free tools (tool search, web fetch, URL context)
are not counted. `server_tool_calls` counts every use; the uses that are in no column of their own are of a kind whose
price is not known by the piece.
"""

from __future__ import annotations

from typing import Any, Final

from ingest.records.call import Call, token_count

KINDS: Final = (
    "web_search_calls", "web_search_results", "file_search_calls", "code_interpreter_calls", "maps_calls",
    "image_generation_calls",
)  # fmt: skip
USAGE_KEYS: Final = (  # all that `from_usage` looks at beside `prompt_tokens_details`
    "server_tool_use", "num_sources_used", "server_side_tool_usage", "connectors", "search_context_size",
    "num_search_queries", "citation_tokens",
)  # fmt: skip
# Anthropic, tool pages: a fetched page is billed as its tokens (2025-09), searching among tools is free (2025-11)
_FREE: Final = frozenset({"web_fetch_requests", "tool_search_requests"})
_SIZES: Final = frozenset({"low", "medium", "high"})
_MOST: Final = 2**31 - 1


def count(call: Call, uses: Any, kind: str | None = None) -> None:
    """Add uses of a kind (one of KINDS, or None for one without a column). What is no count is left out."""
    if type(uses) is not int or not 0 < uses <= _MOST:
        return
    call.server_tool_calls = min((call.server_tool_calls or 0) + uses, _MOST)
    if kind is not None:
        setattr(call, kind, min((getattr(call, kind) or 0) + uses, _MOST))


def clear(call: Call) -> None:
    """Forget every use."""
    call.server_tool_calls = None
    for kind in KINDS:
        setattr(call, kind, None)


def anthropic_uses(counters: dict[str, Any]) -> tuple[int, int]:
    """(web searches, uses of other tools that are billed) of Anthropic's `server_tool_use`."""
    billed = {name: n for name, n in counters.items() if name not in _FREE and type(n) is int and n > 0}
    searches = billed.pop("web_search_requests", 0)
    return searches, sum(billed.values())


def from_columns(call: Call, record: dict[str, Any]) -> None:
    """Counts under the names of the columns; the total is at least their sum. Raises BadRecordError for no count."""
    clear(call)
    for kind in KINDS:
        count(call, token_count(record.get(kind), f"$.{kind}"), kind)
    total = token_count(record.get("server_tool_calls"), "$.server_tool_calls")
    count(call, (total or 0) - (call.server_tool_calls or 0))


def from_usage(call: Call, usage: dict[str, Any]) -> None:
    """The counters that stand in a usage object, in place of what the call had."""
    clear(call)
    server = usage.get("server_tool_use")
    details = usage.get("prompt_tokens_details")
    if isinstance(server, dict) and server:
        searches, others = anthropic_uses(server)
        count(call, searches, "web_search_calls")
        count(call, others)
    elif isinstance(details, dict):  # LiteLLM, for every provider
        count(call, details.get("web_search_requests"), "web_search_calls")
    count(call, usage.get("num_sources_used"), "web_search_results")  # xAI Live Search, 2025-05
    for name in ("server_side_tool_usage", "connectors"):  # xAI; Mistral
        tools = usage.get(name)
        for uses in tools.values() if isinstance(tools, dict) else ():
            count(call, uses)
    size = usage.get("search_context_size")  # Perplexity
    if isinstance(size, str) and size.lower() in _SIZES:
        call.search_context_size = size.lower()
    if "deep-research" in (call.response_model or call.request_model or ""):
        # Perplexity bills a deep research by its searches, and its citations by a rate that no price row has
        count(call, usage.get("num_search_queries"), "web_search_calls")
        count(call, 1 if usage.get("citation_tokens") else 0)


def from_responses(call: Call, body: dict[str, Any]) -> None:
    """The tools of an OpenAI Responses answer: `tool_usage` where it stands, else the items of the output."""
    items = body.get("output")
    items = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    done = [item for item in items if item.get("status") not in ("failed", "in_progress")]
    told = body.get("tool_usage")
    searched = told.get("web_search") if isinstance(told, dict) else None
    if isinstance(searched, dict) and type(searched.get("num_requests")) is int:
        searches = searched["num_requests"]
    else:
        searches = sum(item.get("type") == "web_search_call" and _is_search(item) for item in done)
    count(call, searches, "web_search_calls")
    count(call, sum(item.get("type") == "file_search_call" for item in done), "file_search_calls")
    count(call, sum(item.get("type") == "image_generation_call" for item in done), "image_generation_calls")
    runs = [item for item in done if item.get("type") == "code_interpreter_call"]
    containers = {str(item["container_id"]) for item in runs if item.get("container_id")}
    opened = len(containers) or min(len(runs), 1)
    # the price by the piece is that of the smallest container
    count(call, opened, None if _has_larger_container(body.get("tools")) else "code_interpreter_calls")


def _is_search(item: dict[str, Any]) -> bool:
    """Opening a page and finding in it is not billed (OpenAI, web search guide, 2026-10)."""
    action = item.get("action")
    return not isinstance(action, dict) or action.get("type") in (None, "search")


def _has_larger_container(tools: Any) -> bool:
    for tool in tools if isinstance(tools, list) else ():
        container = tool.get("container") if isinstance(tool, dict) else None
        if isinstance(container, dict) and container.get("memory_limit") not in (None, "1g"):
            return True
    return False


def from_grounding(call: Call, candidates: Any) -> None:
    """Gemini's grounding: web searches as distinct queries (billed by the query from Gemini 3 on, by the prompt
    before: a rule of the price book), Maps once an answer (ai.google.dev/gemini-api/docs/pricing, 2026-10)."""
    queries: set[str] = set()
    chunks: list[Any] = []
    for candidate in candidates if isinstance(candidates, list) else ():
        grounding = candidate.get("groundingMetadata", candidate.get("grounding_metadata"))
        if not isinstance(grounding, dict):
            continue
        asked = grounding.get("webSearchQueries", grounding.get("web_search_queries"))
        queries.update(query for query in asked if isinstance(query, str)) if isinstance(asked, list) else None
        found = grounding.get("groundingChunks", grounding.get("grounding_chunks"))
        chunks += [chunk for chunk in found if isinstance(chunk, dict)] if isinstance(found, list) else []
    maps = any("maps" in chunk for chunk in chunks)
    web = any("web" in chunk for chunk in chunks)
    count(call, int(maps), "maps_calls")
    if not maps or web:
        count(call, len(queries), "web_search_calls")
