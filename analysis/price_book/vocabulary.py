"""The vocabulary of a price: token kinds, service tiers, statuses, and the marks of what is not known."""

from __future__ import annotations

from typing import Final

NO_TIME: Final = -(2**63)  # a call without a start time: priced at the book's own date
UNKNOWN: Final = -1  # a token count that the log does not hold
UNPRICED: Final = -(2**63)  # a total that nobody can know
MAX_PICO: Final = 10**18  # DECIMAL(18,12): a single row stays below a million dollars

TIERS: Final = ("standard", "batch", "flex", "priority", "fast", "unknown")

PRICED: Final = 0
PRICED_FALLBACK: Final = 1
ZERO_BY_OVERRIDE: Final = 2
GATEWAY_HIT: Final = 3
UNKNOWN_MODEL: Final = 4
UNKNOWN_TIER_STATUS: Final = 5
UNKNOWN_KIND: Final = 6
NO_USAGE: Final = 7
TOO_LARGE: Final = 8
PRICED_ESTIMATED: Final = 9
NOT_BILLED: Final = 10
AMBIGUOUS_USAGE: Final = 11
PARTIAL_USAGE: Final = 12
STATUSES: Final = (
    "priced",  # every token kind had its own price
    "priced_fallback",  # a kind without a price of its own was billed at its parent's, or the price row is a guess
    "zero_by_override",  # the user set this model to cost nothing
    "gateway_hit",  # a gateway answered from its own cache
    "unknown_model",  # NULL: no price row for this model
    "unknown_tier",  # NULL: the model has prices, but none for the service tier
    "unknown_kind",  # NULL: the call used a kind of token that its price row has no price for
    "no_usage",  # NULL: the log has no token counts
    "too_large",  # NULL: beyond $1M for one row
    "priced_estimated",  # priced on token counts of our own, for want of logged ones
    "not_billed",  # zero by the provider's own rule: a refusal before any output
    "ambiguous_usage",  # NULL: the input may or may not hold the cached tokens, or is a sum of calls of unknown lengths
    "partial_usage",  # NULL: the log ends before the answer did; its output count is a placeholder
)

# Kinds of a price row: tokens in nano-dollars per million, from `per_request` on nano-dollars per thousand uses.
KINDS: Final = (
    "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning",
    "audio_input", "audio_cache_read", "audio_output", "image_input", "image_cache_read", "image_output",
    "per_request", "per_request_medium", "per_request_low",  # a fee of every request; less with less search context
    "web_search", "web_search_prompt",  # by the search, or once a request that searched
    "web_result", "file_search", "code_interpreter", "maps", "image_generation", "other_tool",
)  # fmt: skip
TOKEN_KINDS: Final = KINDS[:12]
PER_REQUEST: Final = KINDS.index("per_request")
WEB_SEARCH: Final = KINDS.index("web_search")
WEB_SEARCH_PROMPT: Final = KINDS.index("web_search_prompt")
CODE_INTERPRETER: Final = KINDS.index("code_interpreter")
# Tools that are billed by each use; the place in it follows KINDS from `web_result` on.
TOOLS: Final = ("web_result", "file_search", "code_interpreter", "maps", "image_generation", "other_tool")
SEARCH_CONTEXTS: Final = ("low", "medium", "high")  # 1, 2, 3 in `Usage.search_context`
# What a kind without a price of its own is billed at (genai-prices' decomposition, read 2026-11). Audio, and images
# that a model makes, cost many times what text does: without a price of their own they have none.
PARENT: Final = {
    "cache_read": "input", "cache_write": "input", "cache_write_1h": "cache_write", "reasoning": "output",
    "image_input": "input", "image_cache_read": "cache_read",
}  # fmt: skip
# What a modality is billed at where its provider has one price for it and for text (history.yaml, `one_price`).
AS_TEXT: Final = {
    "audio_input": "input", "audio_cache_read": "cache_read", "audio_output": "output",
    "image_input": "input", "image_cache_read": "cache_read", "image_output": "output",
}  # fmt: skip
