"""Grok Build sessions (`updates.jsonl`): usage of each completed turn by model; cached tokens lie inside input.

The counts of `modelUsage` are those of the turn; the ones above it may be running totals and count only where there
are no others. Cost in ticks of 1e-10 dollars, as xAI's API has them.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import SUM_OF_CALLS, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.token_counts import settle
from ingest.wire.agent_session import session_call

_TICKS = 10**10


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    params = mapping_or_empty(record.get("params"))
    update = mapping_or_empty(params.get("update"))
    usage = mapping_or_empty(update.get("usage"))
    if update.get("sessionUpdate") != "turn_completed" or not usage:
        return Skip("event without token counts")
    meta = mapping_or_empty(params.get("_meta"))
    when, unit = (meta["agentTimestampMs"], "ms") if "agentTimestampMs" in meta else (record.get("timestamp"), None)
    models: list[tuple[str | None, Any]] = [*mapping_or_empty(usage.get("modelUsage")).items()]
    models = models or [(text_or_none(update.get("model")), usage)]
    turn = text_or_none(update.get("prompt_id")) or text_or_none(meta.get("eventId"))
    session = text_or_none(params.get("sessionId")) or context.path.parent.name
    found: list[Outcome] = []
    for model, counts in models:
        if not isinstance(counts, dict):
            continue
        call = session_call("grok-build", context, model=model, when=when, unit=unit, session=session)
        settle(
            call,
            input_tokens=token_count(counts.get("inputTokens"), "$.inputTokens"),
            output_tokens=token_count(counts.get("outputTokens"), "$.outputTokens"),
            cache_read=token_count(counts.get("cachedReadTokens"), "$.cachedReadTokens"),
            cache_write=token_count(counts.get("cacheCreationTokens"), "$.cacheCreationTokens"),
            reasoning=token_count(counts.get("reasoningTokens"), "$.reasoningTokens"),
            total=token_count(counts.get("totalTokens"), "$.totalTokens"),
        )
        call.logged_cost_pico = pico_dollars(counts.get("costUsdTicks"), "$.costUsdTicks", _TICKS)
        call.identity = f"grok:{session}:{turn}:{model}" if turn else None
        calls = counts.get("modelCalls")
        if type(calls) is int and calls > 1:
            call.issue(SUM_OF_CALLS, f"the counts are those of the {calls} calls of a turn")
        found.append(call)
    return found or Skip("event without token counts")


FORMAT = Format(
    name="grok_build",
    title="Grok Build session",
    fingerprints=(frozenset({"method", "params"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and isinstance(record.get("params"), dict)
        and isinstance(record["params"].get("update"), dict)
        and "sessionUpdate" in record["params"]["update"]
    ),
    open=stateless(read),
    rank=40,
    fields=(
        ("start_time", "_meta.agentTimestampMs"), ("model", "modelUsage"), ("input_tokens", "inputTokens"),
        ("cache_read_input_tokens", "cachedReadTokens"), ("output_tokens", "outputTokens"),
        ("logged_cost_usd", "costUsdTicks"), ("conversation_id", "sessionId"),
    ),
)  # fmt: skip
