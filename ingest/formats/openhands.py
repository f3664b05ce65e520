"""OpenHands' metrics, in its evaluations' output.jsonl and in saved states: one call for each of `token_usages`.

`costs` and `response_latencies` stand beside them in the same order; where their lengths differ only the response id
tells which belong together. Input includes the cache, as LiteLLM counts. Shape: openhands/llm/metrics.py (2026-10).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.records.call import Call, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.request_response import provider_of, take_file_time

_DEPTH = 4  # how deep metrics lie in a saved state


def read(record: Any, context: Context) -> list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    found: list[Outcome] = []
    for agent, metrics in _metrics(record, None, _DEPTH):
        usages = metrics["token_usages"]
        for place in range(len(usages)):
            found.extend(catch_reader_errors(_call, record, agent, metrics, place, context, item=usages[place]))
    return found or [Skip("a run without calls")]


def _call(
    record: dict[str, Any], agent: str | None, metrics: dict[str, Any], place: int, context: Context
) -> list[Outcome]:
    usage = metrics["token_usages"][place]
    call = Call(operation_name="chat")
    call.response_model = call.request_model = text_or_none(usage.get("model"))
    call.provider_name = provider_of(call.response_model)
    settle(
        call,
        input_tokens=token_count(usage.get("prompt_tokens"), "$.prompt_tokens"),
        output_tokens=token_count(usage.get("completion_tokens"), "$.completion_tokens"),
        cache_read=token_count(usage.get("cache_read_tokens"), "$.cache_read_tokens"),
        cache_write=token_count(usage.get("cache_write_tokens"), "$.cache_write_tokens"),
        reasoning=token_count(usage.get("reasoning_tokens"), "$.reasoning_tokens"),
    )
    call.response_id = text_or_none(usage.get("response_id"))
    cost = _beside(metrics.get("costs"), metrics["token_usages"], place)
    call.logged_cost_pico = pico_dollars(cost.get("cost"), "$.costs.cost")
    if cost.get("timestamp") is not None:
        call.end_us, call.time_precision = time_us(cost["timestamp"], "$.costs.timestamp", zone=context.zone)
    spent = _beside(metrics.get("response_latencies"), metrics["token_usages"], place).get("latency")
    if isinstance(spent, int | float) and not isinstance(spent, bool) and spent >= 0:
        call.duration_ms = spent * 1000
    if call.end_us is not None:
        call.start_us = call.end_us - round((call.duration_ms or 0) * 1000)
    else:
        take_file_time(call, context)
    run = text_or_none(record.get("instance_id")) or text_or_none(record.get("id"))
    call.conversation_id = run
    call.agent, call.agent_source = (agent, "attribute") if agent else (None, None)
    call.identity = call.response_id or (f"{run}:{agent}:{place}" if run else None)
    return [call]


def _beside(values: Any, usages: list[Any], place: int) -> dict[str, Any]:
    """The entry that belongs to one usage; empty where nothing tells which."""
    if not isinstance(values, list):
        return {}
    given = text_or_none(mapping_or_empty(usages[place]).get("response_id"))
    for value in values:
        if given and isinstance(value, dict) and value.get("response_id") == given:
            return value
    return mapping_or_empty(values[place]) if len(values) == len(usages) else {}


def _metrics(value: Any, name: str | None, depth: int) -> Iterator[tuple[str | None, dict[str, Any]]]:
    if not isinstance(value, dict):
        return
    if isinstance(value.get("token_usages"), list):
        yield name, value
    elif depth:
        for key, inner in value.items():
            own = None if key in ("metrics", "stats", "usage_to_metrics", "conversation_stats") else key
            yield from _metrics(inner, own or name, depth - 1)


FORMAT = Format(
    name="openhands",
    title="OpenHands metrics",
    fingerprints=(frozenset({"instance_id", "metrics", "history"}),),
    matches=lambda record: next(_metrics(record, None, _DEPTH), None) is not None,
    open=stateless(read),
    rank=90,
)
