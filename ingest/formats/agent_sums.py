"""Agents that log sums of a session, or no time of a call: goose, Crush, Hermes, Zed, Droid and Vibe.

Zed counts each request of a thread as Anthropic does, but tells only when the thread last changed. A sum stands for an
unknown number of calls: it is one row, flagged `sum_of_calls`, and has no contents, so that no cache is replayed on
it. Crush keeps the counts of the last request beside the cost of the session (charmbracelet/crush, internal/agent):
the cost is the session's, its tokens are unknown.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import SUM_OF_CALLS, Call, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.agent_session import session_call, settle_disjoint
from ingest.wire.request_response import flag_file_time

_DATABASES = ("goose", "crush", "hermes")
_DROID_SUFFIX = ".settings.json"
_DROID_KEYS = frozenset(
    {"providerLock", "providerLockTimestamp", "assistantActiveTimeMs", "autonomyMode", "autonomyLevel"}
)
_ZED = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    kind = record.get("database")
    if kind == "zed":
        return _zed(record, context)
    if kind is None:
        kind = "droid" if "tokenUsage" in record else "vibe"
    call = {"goose": _goose, "crush": _crush, "hermes": _hermes, "droid": _droid, "vibe": _vibe}[kind](record, context)
    if call is None or not (call.input_tokens or call.output_tokens or call.logged_cost_pico):
        return Skip("a session without token counts")
    call.identity = f"{kind}:{call.conversation_id}:{record.get('providerLockTimestamp', '')}"
    call.replaces = True
    call.issue(SUM_OF_CALLS, "the counts are those of all calls of a session")
    return call


def _goose(row: dict[str, Any], context: Context) -> Call:
    call = session_call(
        "goose", context, model=mapping_or_empty(row.get("model_config_json")).get("model_name"),
        when=row.get("created_at"), provider=row.get("provider_name"), session=row.get("id"),
        folder=row.get("working_dir"),
    )  # fmt: skip
    settle(
        call,
        input_tokens=token_count(row.get("accumulated_input_tokens"), "$.accumulated_input_tokens"),
        output_tokens=token_count(row.get("accumulated_output_tokens"), "$.accumulated_output_tokens"),
    )
    return _until(call, row.get("updated_at"), context)


def _crush(row: dict[str, Any], context: Context) -> Call | None:
    if row.get("parent_session_id") is not None:
        return None  # its cost is in the parent's
    call = session_call(
        "crush", context, model=row.get("model"), when=row.get("created_at"), unit="s", session=row.get("id")
    )  # fmt: skip
    call.logged_cost_pico = pico_dollars(row.get("cost"), "$.cost")
    call.tokens_source = "missing"
    return _until(call, row.get("updated_at"), context, unit="s")


def _hermes(row: dict[str, Any], context: Context) -> Call:
    call = session_call(
        "hermes", context, model=row.get("model"), when=row.get("started_at"), provider=row.get("billing_provider"),
        session=row.get("id"), folder=row.get("git_repo_root") or row.get("cwd"),
    )  # fmt: skip
    thoughts = token_count(row.get("reasoning_tokens"), "$.reasoning_tokens")
    made = token_count(row.get("output_tokens"), "$.output_tokens")
    counts = {**row, "output_tokens": None if made is None else made + (thoughts or 0)}
    settle_disjoint(
        call, counts, "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
        reasoning="reasoning_tokens",
    )  # fmt: skip
    paid = row.get("actual_cost_usd")
    call.logged_cost_pico = pico_dollars(row.get("estimated_cost_usd") if paid is None else paid, "$.cost_usd")
    return _until(call, row.get("ended_at"), context)


def _droid(record: dict[str, Any], context: Context) -> Call:
    when = record.get("providerLockTimestamp")
    model = text_or_none(record.get("model"))
    call = session_call(
        "droid", context, model=model.removeprefix("custom:") if model else None, when=when or context.mtime_us,
        provider=record.get("providerLock"), session=context.path.name.removesuffix(_DROID_SUFFIX),
    )  # fmt: skip
    settle_disjoint(
        call, mapping_or_empty(record.get("tokenUsage")), "inputTokens", "cacheReadTokens", "cacheCreationTokens",
        "outputTokens", reasoning="thinkingTokens",
    )  # fmt: skip
    if when is None:
        flag_file_time(call)
    return call


def _vibe(record: dict[str, Any], context: Context) -> Call:
    stats = mapping_or_empty(record.get("stats"))
    call = session_call(
        "vibe", context, model=mapping_or_empty(record.get("config")).get("active_model"),
        when=record.get("start_time"), provider="mistral", session=record.get("session_id"),
        folder=mapping_or_empty(record.get("environment")).get("working_directory"),
    )  # fmt: skip
    settle(
        call,
        input_tokens=token_count(stats.get("session_prompt_tokens"), "$.stats.session_prompt_tokens"),
        output_tokens=token_count(stats.get("session_completion_tokens"), "$.stats.session_completion_tokens"),
    )
    call.logged_cost_pico = pico_dollars(stats.get("session_cost"), "$.stats.session_cost")
    return _until(call, record.get("end_time"), context)


def _zed(record: dict[str, Any], context: Context) -> Outcome | list[Outcome]:
    thread = mapping_or_empty(record.get("data"))
    requests = mapping_or_empty(thread.get("request_token_usage"))
    used = {name: usage for name, usage in requests.items() if _any(usage)}
    total = thread.get("cumulative_token_usage")
    if not used and _any(total):
        used = {"all": total}
    model = mapping_or_empty(thread.get("model"))
    found: list[Outcome] = []
    for name, usage in used.items():
        call = session_call(
            "zed", context, model=model.get("model"), when=record.get("updated_at"), provider=model.get("provider"),
            session=record.get("id"),
        )  # fmt: skip
        settle_disjoint(call, usage, *_ZED)
        call.identity = f"zed:{record.get('id')}:{name}"
        call.replaces = True
        call.issue("time_of_thread", "the request has no time; the last change of the thread was taken")
        if name == "all":
            call.issue(SUM_OF_CALLS, "the counts are those of all requests of a thread")
        found.append(call)
    return found or Skip("a thread without token counts")


def _any(usage: Any) -> bool:
    return isinstance(usage, dict) and any(usage.get(name) for name in _ZED)


def _until(call: Call, end: Any, context: Context, unit: str | None = None) -> Call:
    if end is not None and call.start_us is not None:
        ended = time_us(end, "$.end", unit=unit, zone=context.zone)[0]
        call.end_us = ended if ended >= call.start_us else None
    return call


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if "database" in record:
        return record["database"] in (*_DATABASES, "zed")
    usage, stats = record.get("tokenUsage"), record.get("stats")
    if isinstance(usage, dict):
        return bool(record.keys() & _DROID_KEYS)
    return isinstance(stats, dict) and "session_prompt_tokens" in stats and "session_id" in record


FORMAT = Format(
    name="agent_sums",
    title="Sums of an agent's session (goose, Crush, Hermes, Zed, Droid, Vibe)",
    fingerprints=(frozenset({"model", "tokenUsage", "providerLock"}), frozenset({"session_id", "stats", "start_time"})),
    matches=_matches,
    open=stateless(read),
    rank=37,
    fields=(
        ("start_time", "the session's start"), ("model", "the session's model"),
        ("input_tokens", "accumulated_input_tokens, tokenUsage.*, session_prompt_tokens"),
        ("output_tokens", "accumulated_output_tokens, tokenUsage.outputTokens, session_completion_tokens"),
        ("logged_cost_usd", "cost, session_cost"), ("conversation_id", "the session's id"),
    ),
)  # fmt: skip
