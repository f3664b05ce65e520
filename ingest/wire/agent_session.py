"""What the session logs of coding agents tell alike: who called which model, in which project, and disjoint counts."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context
from ingest.records.agent_names import folder_name
from ingest.records.call import Call, text_or_none, token_count
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.request_response import provider_of


def session_call(
    tool: str,
    context: Context,
    *,
    model: Any,
    when: Any,
    unit: str | None = None,
    provider: Any = None,
    session: Any = None,
    folder: Any = None,
    agent: str = "main",
) -> Call:
    """A call of this `tool` that began at `when` (a number in `unit`). An unknown model stays None: it has no price.

    Raises BadRecordError for what is no time.
    """
    call = Call(operation_name="chat", service_name=tool, agent=agent, agent_source="transcript")
    call.request_model = call.response_model = text_or_none(model)
    call.provider_name = provider_name(text_or_none(provider)) or provider_of(call.response_model)
    call.start_us, call.time_precision = time_us(when, "$.timestamp", unit=unit, zone=context.zone)
    call.conversation_id = text_or_none(session)
    call.task = folder_name(text_or_none(folder))
    call.task_source = "project" if call.task else None
    return call


def settle_disjoint(
    call: Call,
    counts: dict[str, Any],
    fresh: str,
    read: str,
    written: str,
    output: str,
    *,
    reasoning: str | None = None,
) -> None:
    """Set the counts where input, cache reads, cache writes and output lie side by side, under these names.

    `reasoning` names a count that lies inside output. Raises BadRecordError.
    """
    given = {name: token_count(counts.get(name), f"$.{name}") for name in (fresh, read, written, output)}
    asked = given[fresh]
    settle(
        call,
        input_tokens=None if asked is None else asked + (given[read] or 0) + (given[written] or 0),
        output_tokens=given[output],
        cache_read=given[read],
        cache_write=given[written],
        reasoning=token_count(counts.get(reasoning), f"$.{reasoning}") if reasoning else None,
    )


def growth(totals: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """By how much running counts have grown; all of them where one fell, since counting began again there."""
    if any(total < before.get(name, 0) for name, total in totals.items()):
        return totals
    return {name: total - before.get(name, 0) for name, total in totals.items()}


def counts_key(call: Call) -> str:
    """The time, the model and the counts of a call: what stays equal where a fork copies its row under another id."""
    counts = (call.input_tokens, call.cache_read_input_tokens, call.cache_creation_input_tokens, call.output_tokens)
    return f"{call.service_name}:{call.start_us}:{call.response_model}:{','.join(map(str, counts))}"
