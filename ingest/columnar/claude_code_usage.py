"""The usage objects of Claude Code transcripts, and the columns of tokens, tools and tiers that they fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ingest.columnar import arrow_columns
from ingest.columnar.arrow_columns import constant, integers, texts
from ingest.records.server_tools import anthropic_uses

UNSET = msgspec.UNSET


class _Split(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    ephemeral_5m_input_tokens: int | msgspec.UnsetType | None = UNSET
    ephemeral_1h_input_tokens: int | msgspec.UnsetType | None = UNSET


class _OutputDetails(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    thinking_tokens: int | msgspec.UnsetType | None = UNSET


class Usage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """All that Anthropic's usage objects are known to hold. Two are equal where the logged objects are."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | msgspec.UnsetType | None = UNSET
    cache_read_input_tokens: int | msgspec.UnsetType | None = UNSET
    cache_creation: _Split | msgspec.UnsetType | None = UNSET
    output_tokens_details: _OutputDetails | msgspec.UnsetType | None = UNSET
    server_tool_use: dict[str, int] | msgspec.UnsetType | None = UNSET
    service_tier: str | msgspec.UnsetType | None = UNSET
    speed: str | msgspec.UnsetType | None = UNSET
    inference_geo: str | msgspec.UnsetType | None = UNSET
    iterations: list[dict[str, Any]] | msgspec.UnsetType | None = UNSET


_PLAIN_TIERS = (None, "", "standard", "auto", UNSET)
_NO_REGIONS = (None, "", "global", "not_available", UNSET)


class NotPlainError(Exception):
    """The ordinary reader must read this file."""


def _known(value: Any) -> int:
    return value if type(value) is int else 0


def fullness(usage: Usage) -> tuple[int, int]:
    """All tokens, then the parts that are told of them, as in `ingest.formats.claude_code`."""
    cached = _known(usage.cache_read_input_tokens) + _known(usage.cache_creation_input_tokens)
    parts = cached
    if isinstance(usage.cache_creation, _Split):
        parts += _known(usage.cache_creation.ephemeral_1h_input_tokens)
    if isinstance(usage.output_tokens_details, _OutputDetails):
        parts += _known(usage.output_tokens_details.thinking_tokens)
    return usage.input_tokens + usage.output_tokens + cached, parts


def prompt_tokens(usage: Usage) -> int:
    """Input, with what was read from and written to the cache."""
    return usage.input_tokens + _known(usage.cache_read_input_tokens) + _known(usage.cache_creation_input_tokens)


def _fields(usages: list[Usage]) -> dict[str, tuple[Any, ...]]:
    """Each field of all of them."""
    return dict(zip(Usage.__struct_fields__, zip(*map(msgspec.structs.astuple, usages), strict=True), strict=True))


def token_columns(usages: list[Usage]) -> dict[str, pa.Array]:
    """The token columns. Raises NotPlainError where a count is impossible or contradicts another one of its call."""
    field = _fields(usages)
    fresh = _counts(field["input_tokens"])[0]
    output = _counts(field["output_tokens"])[0]
    written, is_written = _counts(field["cache_creation_input_tokens"])
    read, is_read = _counts(field["cache_read_input_tokens"])
    made = {
        "input_tokens": pa.array(fresh + written + read),
        "output_tokens": pa.array(output),
        "cache_creation_input_tokens": integers(written, is_written),
        "cache_read_input_tokens": integers(read, is_read),
        "tokens_source": constant("reported", len(usages)),
    }
    splits = field["cache_creation"]
    if arrow_columns.some(splits, _Split):
        hours = [split.ephemeral_1h_input_tokens if isinstance(split, _Split) else None for split in splits]
        fives = [split.ephemeral_5m_input_tokens if isinstance(split, _Split) else None for split in splits]
        hour, is_hour = _counts(hours)
        five = _counts(fives)[0]
        split_alone = np.fromiter([isinstance(split, _Split) for split in splits], dtype=bool) & ~is_written
        if split_alone.any() or (hour > written).any() or ((written == 0) & (five > 0)).any():
            raise NotPlainError
        made["cache_creation_1h_input_tokens"] = integers(hour, is_hour)
    details = field["output_tokens_details"]
    if arrow_columns.some(details, _OutputDetails):
        thought, is_thought = _counts(
            [one.thinking_tokens if isinstance(one, _OutputDetails) else None for one in details]
        )
        if (thought > output).any():
            raise NotPlainError
        made["reasoning_output_tokens"] = integers(thought, is_thought)
    iterated = field["iterations"]
    for runs in iterated if arrow_columns.some(iterated, list) else ():
        if isinstance(runs, list) and any(item.get("type") != "message" for item in runs):
            raise NotPlainError  # model runs that become calls of their own
    tools = field["server_tool_use"]
    if arrow_columns.some(tools, dict):
        uses = [anthropic_uses(one) if isinstance(one, dict) else (0, 0) for one in tools]
        if max(map(sum, uses)) > 2**31 - 1:
            raise NotPlainError
        made["server_tool_calls"] = pa.array([sum(counts) or None for counts in uses], pa.int32())
        made["web_search_calls"] = pa.array([searches or None for searches, _ in uses], pa.int32())
    return made


def _counts(values: Sequence[Any]) -> tuple[Any, Any]:
    if UNSET in values:
        values = [None if value is UNSET else value for value in values]
    found = arrow_columns.counts(values)
    if found is None:
        raise NotPlainError
    return found


def tier_columns(usages: list[Usage]) -> dict[str, pa.Array]:
    """The columns of service tier and region; none where no usage object has them."""
    field = _fields(usages)
    speeds, tiers, regions = field["speed"], field["service_tier"], field["inference_geo"]
    if not any(arrow_columns.some(values, str) for values in (speeds, tiers, regions)):
        return {}
    served = ["fast" if speed == "fast" else None if tier in _PLAIN_TIERS else tier
              for speed, tier in zip(speeds, tiers, strict=True)]  # fmt: skip
    return {
        "service_tier": texts(served),
        "region": texts([None if region in _NO_REGIONS else region for region in regions]),
    }
