"""One call as a format reader hands it over, and the three other things a logged row can turn out to be.

Every row of a log ends as exactly one of: a call, a duplicate of a call, quarantined (`BadRecordError`), or skipped
by a named rule (`Skip`). Token counts here are inclusive, as in `ingest.store.schema`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

TOKEN_LIMIT = 1 << 40
_GROUPED = re.compile(r"[0-9]{1,3}([.][0-9]{3})+")  # where a comma marks decimals a dot may group thousands
# a comma that can only mark decimals: `0,001` and `12,5`, not `1,234`
_DECIMAL_COMMA = re.compile(r"-?(0,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,}))")
PICO = Decimal(10**12)
MICRO = 1_000_000
# reasons to stop after which an answer is not whole
INCOMPLETE = frozenset({"length", "max_tokens", "content_filter", "error"})
SUM_OF_CALLS = "sum_of_calls"  # `tokens_source` and issue of a row that stands for several calls
PENDING = frozenset({"tool_calls", "tool_use", "function_call"})  # reasons to stop after which a side effect follows


class BadRecordError(Exception):
    """A row that cannot be used. `path` is the JSON path of the offending value, `$` for the row itself.

    `claims` is the usage that is lost with the row; None where its own fields are to tell.
    """

    claims: Claimed | None = None

    def __init__(self, reason: str, path: str = "$") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


class Claimed(NamedTuple):
    """Tokens and pico-dollars that a row which becomes no call says it used; both 0 where it says nothing."""

    tokens: int = 0
    cost_pico: int = 0


NOTHING = Claimed()


@dataclass(frozen=True)
class Skip:
    """A row that is rightly no call of its own: a user turn, a parent span, a header.

    `duplicate` marks a row that repeats a call of the same file, counted with the duplicates. `claims` is the usage
    that is lost with the row: NOTHING where other rows have it, None where its own fields are to tell.
    """

    reason: str
    duplicate: bool = False
    claims: Claimed | None = None


@dataclass(frozen=True)
class Bucket:
    """A row of a provider's usage or cost report: kept to reconcile the calls with, not a call itself."""

    kind: str  # usage, cost
    start_us: int | None = None
    end_us: int | None = None
    provider: str | None = None
    model: str | None = None
    line_item: str | None = None
    token_kind: str | None = None
    project: str | None = None
    api_key: str | None = None
    service_tier: str | None = None
    quantity: str | None = None  # decimal text
    requests: int | None = None
    amount_usd: str | None = None  # decimal text
    currency: str | None = None


class Call(msgspec.Struct, kw_only=True, gc=False):
    """A call. Fields are the columns of `calls` that a log can tell, plus its contents before they are stored.

    Times are microseconds since 1970 UTC; `logged_cost_pico` pico-dollars; `weight_micro` millionths of a call.
    `identity` is the provider's response id or the log's own call id; None means the row's bytes identify it.
    """

    identity: str | None = None
    start_us: int | None = None
    end_us: int | None = None
    duration_ms: float | None = None
    time_to_first_chunk_ms: float | None = None
    time_precision: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    conversation_id: str | None = None
    attempt: int | None = None
    retry_of: str | None = None
    operation_name: str | None = None
    provider_name: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    service_tier: str | None = None
    is_batch: bool | None = None
    region: str | None = None
    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_1h_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    cache_read_audio_input_tokens: int | None = None
    cache_read_image_input_tokens: int | None = None
    server_tool_calls: int | None = None
    web_search_calls: int | None = None
    web_search_results: int | None = None
    file_search_calls: int | None = None
    code_interpreter_calls: int | None = None
    maps_calls: int | None = None
    image_generation_calls: int | None = None
    search_context_size: str | None = None
    tokens_source: str | None = None
    logged_cost_pico: int | None = None
    weight_micro: int = MICRO
    status: str = "ok"
    error_type: str | None = None
    http_status: int | None = None
    finish_reason: str | None = None
    stream: bool | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    response_format: str | None = None
    has_images: bool | None = None
    pending_tool_calls: bool | None = None
    agent: str | None = None
    agent_source: str | None = None
    task: str | None = None
    task_source: str | None = None
    workflow_name: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    user_id: str | None = None
    team: str | None = None
    environment: str | None = None
    service_name: str | None = None
    process_id: str | None = None
    tags: list[str] | None = None
    score: float | None = None
    score_scope: str | None = None
    propensity: float | None = None
    assignment: str | None = None
    rollout: str | None = None
    arm: str | None = None
    input_words: int | None = None
    content_state: str | None = None
    tool_count: int | None = None  # where `tools` has no length
    # what becomes `contents`, `request_keys`, `scores` and `import_issues`; JSON that is not decoded is msgspec.Raw
    messages: list[Any] | None = None
    tools: list[Any] | msgspec.Raw | None = None
    output: list[Any] | None = None
    params: dict[str, Any] | None = None
    scores: dict[str, float] | None = None
    issues: list[tuple[str, str]] | None = None
    span_name: str | None = None  # what else may name the agent
    api_key_alias: str | None = None
    iterations: list[Any] | None = None  # model runs behind one answer, until they become calls of their own
    row: int | None = None  # where a call began that a reader held back; else the row being read
    printed: bool = False  # what a tool printed of a run, whose calls its session's own log may have
    replaces: bool = False  # a later, fuller row of a call that may be published already

    def issue(self, code: str, detail: str) -> None:
        """Flag a row that is kept although something about it does not add up."""
        if self.issues is None:
            self.issues = []
        self.issues.append((code, detail))


def token_count(value: Any, path: str, leaf: str = "") -> int | None:
    """A token count as an int; None stays None. Raises BadRecordError, at `path` + `leaf`, if it is no such count."""
    if type(value) is int:
        if 0 <= value < TOKEN_LIMIT:
            return value
        raise BadRecordError(f"impossible token count {value}", path + leaf)
    if value is None:
        return None
    if isinstance(value, str):
        if _GROUPED.fullmatch(value):
            raise BadRecordError(
                f"a token count that may be meant a thousand times larger: {value[:40]!r}", path + leaf
            )
        try:
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError:
            raise BadRecordError(f"not a token count: {value[:40]!r}", path + leaf) from None
        return token_count(value, path, leaf)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return token_count(int(value), path, leaf)
    raise BadRecordError(f"impossible token count {value!r}", path + leaf)


def pico_dollars(value: Any, path: str, scale: int = 1) -> int | None:
    """Dollars (or `1/scale` dollars, 100 for cents) as whole pico-dollars, half-even; None where absent.

    A text may begin with `$`, and may have a decimal comma where it can be nothing else. Raises BadRecordError.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise BadRecordError(f"not an amount of money: {value}", path)
    if isinstance(value, str):
        value = value.strip().removeprefix("$")
        if _DECIMAL_COMMA.fullmatch(value):
            value = value.replace(",", ".")
    try:
        # a float's repr is the decimal that the log showed
        amount = Decimal(repr(value) if isinstance(value, float) else str(value))
        pico = int((amount * PICO / scale).quantize(Decimal(1), ROUND_HALF_EVEN))
    except (InvalidOperation, ValueError, OverflowError):
        raise BadRecordError(f"not an amount of money: {str(value)[:40]!r}", path) from None
    if abs(pico) >= 10**18:
        raise BadRecordError(f"impossible amount of money {value!r}", path)
    return pico


def mapping_or_empty(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text_or_none(value: Any) -> str | None:
    """A non-empty string; numbers and booleans as their text; anything else is None."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool | int | float):
        return str(value)
    return None
