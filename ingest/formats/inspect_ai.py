"""inspect_ai's evaluation logs as JSON: one document, whose samples hold the calls as events of kind `model`.

A call that fails is logged with its `error` and tried again as the next event. The usage counts its cache beside the
input. Shape: inspect_ai.log.EvalLog (2026-10); `.eval` files become JSON by `inspect log convert`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import Skip, mapping_or_empty, text_or_none

LAYOUT = RowLayout(
    {
        "start": ("timestamp",),
        "end": ("completed",),
        "duration": ("working_time", "output.time"),
        "request_model": ("model",),
        "response_model": ("output.model", "model"),
        "usage": ("output.usage",),
        "finish_reason": ("output.choices.0.stop_reason",),
        "messages": ("input",),
        "answer": ("output.choices.0.message",),
        "response_id": ("uuid",),
    },
    ms_per_unit=1000,
)


def read(record: Any, context: Context) -> list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    about = mapping_or_empty(record.get("eval"))
    found: list[Outcome] = []
    for sample, place, event in _events(record):
        found.extend(catch_reader_errors(_call, about, sample, place, event, context, item=event))
    return found or [Skip("an evaluation without model calls")]


def _call(
    about: dict[str, Any], sample: dict[str, Any], place: int, event: dict[str, Any], context: Context
) -> list[Outcome]:
    if event.get("cache") == "read":
        event = {**event, "cached": True}
    call = LAYOUT.call(event, context)
    provider, slash, name = (call.request_model or "").partition("/")
    if slash:  # `openai/gpt-4o`, `openai/azure/gpt-4o`: the API comes first
        call.provider_name = call.provider_name or provider
        call.request_model = name
        if call.response_model == f"{provider}/{name}":
            call.response_model = name
    if event.get("error"):
        call.status = "error"
    if event.get("cached"):
        call.status = "gateway_cache_hit"
    run = text_or_none(about.get("run_id")) or text_or_none(about.get("eval_id")) or ""
    sample_name = f"{sample.get('id')}:{sample.get('epoch', 1)}"
    call.conversation_id = f"{run}:{sample_name}"
    call.identity = text_or_none(event.get("uuid")) or (f"{run}:{sample_name}:{place}" if run else None)
    call.agent, call.agent_source = text_or_none(about.get("task")), "attribute"
    call.workflow_name = text_or_none(about.get("task"))
    return [call]


def _events(record: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int, dict[str, Any]]]:
    samples = record.get("samples")
    for sample in samples if isinstance(samples, list) else [record]:
        events = sample.get("events") if isinstance(sample, dict) else None
        for place, event in enumerate(events if isinstance(events, list) else ()):
            if isinstance(event, dict) and event.get("event") == "model":
                yield sample, place, event


FORMAT = Format(
    name="inspect_ai",
    title="inspect_ai evaluation log",
    fingerprints=(frozenset({"version", "status", "eval", "samples"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and (
            ("eval" in record and "samples" in record)
            or (record.keys() >= {"id", "epoch", "events"} and isinstance(record["events"], list))
        )
    ),
    open=stateless(read),
    rank=36,
)
