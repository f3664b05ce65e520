"""Langfuse's `usage_details` as inclusive counts: buckets that exclude each other, whose names begin with their side.

`input` and `output` leave out every other bucket of their side, also `input_cache_creation_5m` and `_1h` the plain
`input_cache_creation` (langfuse OtelIngestionProcessor, 2026-11). Callers who fill the buckets themselves let some of
them overlap; then the total tells.
"""

from __future__ import annotations

from typing import Any

from ingest.records.call import Call, token_count
from ingest.records.count_names import part_of
from ingest.records.json_paths import nested
from ingest.records.token_counts import settle
from ingest.records.token_usage import NAMED_TIERS, apply_usage

_CACHED = ("read", "written", "five", "hour")


def apply_usage_details(call: Call, usage: dict[str, Any], path: str = "$.usageDetails") -> None:
    """Fill the token fields of `call`; a provider's own usage object under the name of the details is read as such."""
    if "prompt_tokens" in usage or "input_tokens" in usage:
        usage = nested(usage)
    if any(isinstance(value, dict) for value in usage.values()) or not any(
        key in ("input", "output", "total") or "input" in key or "output" in key for key in usage
    ):
        apply_usage(call, usage, path)
        return
    counts = {key: n for key, value in usage.items() if (n := token_count(value, f"{path}.{key}")) is not None}
    for tier in NAMED_TIERS:
        if counts.keys() & {f"input_{tier}", f"output_{tier}"}:
            call.service_tier = call.service_tier or tier
            counts = _of_tier(counts, tier)
    parts: dict[str, int] = {}
    of = {key: part_of(key) for key in counts}
    for key, part in of.items():
        if part is not None and not parts.get(part):  # of several names for one fact the first that is not zero
            parts[part] = counts[key]
    read, written, reasoning = parts.get("read"), parts.get("written"), parts.get("reasoning")
    five, hour = parts.get("five"), parts.get("hour")
    split = None if five is None and hour is None else (five or 0) + (hour or 0)
    if split is not None and written != split:  # else the buckets repeat their sum
        written = split + (written or 0)
    call.audio_input_tokens, call.audio_output_tokens = parts.get("audio_in"), parts.get("audio_out")
    rest = [n for key, n in counts.items() if "input" in key.lower() and of[key] not in _CACHED]
    asked = None if not rest and read is None and written is None else sum(rest) + (read or 0) + (written or 0)
    spoken = [n for key, n in counts.items() if "output" in key.lower() and of[key] != "reasoning"]
    made = None if not spoken and reasoning is None else sum(spoken) + (reasoning or 0)
    total = counts.get("total", counts.get("total_tokens"))
    if total is not None and asked is not None and made is not None and asked + made != total:
        least = max([*rest, (read or 0) + (written or 0)], default=0)
        asked, made, total = _by_total(call, total, (asked, least), (made, max(spoken, default=0)), counts)
    settle(
        call, input_tokens=asked, output_tokens=made, cache_read=read, cache_write=written, cache_write_1h=hour,
        reasoning=reasoning, total=total,
    )  # fmt: skip


def _of_tier(counts: dict[str, int], tier: str) -> dict[str, int]:
    """The buckets without the name of the tier, which stands before parts, and alone for the rest of a side.

    Langfuse's callback for LangChain takes all of them out of their side, or none (langfuse#11896, langfuse 5.0).
    """
    for side in ("input", "output"):
        before = f"{side}_{tier}"
        parts = {name.replace(before, side, 1): n for name, n in counts.items() if name.startswith(f"{before}_")}
        rest, plain = counts.get(before), counts.get(side, 0)
        counts = {name: n for name, n in counts.items() if not name.startswith(before)} | parts
        if rest is not None:
            counts[side] = max(0, plain - sum(parts.values())) if plain >= rest else rest
    return counts


def _by_total(
    call: Call, total: int, asked: tuple[int, int], made: tuple[int, int], counts: dict[str, int]
) -> tuple[int, int, int | None]:
    """(input, output, total) where the buckets do not sum to the total; `asked`, `made` are (sum, least possible)."""
    plain_in, plain_out = counts.get("input", -1), counts.get("output", -1)
    inputs = [asked[0], *([plain_in] if plain_in >= asked[1] else [])]
    outputs = [made[0], *([plain_out] if plain_out >= 0 else [])]
    for output in outputs:
        for given in inputs:
            if given + output == total:
                return given, output, total
    if asked[0] + made[0] < total:
        return asked[0], made[0], total
    call.issue("total_below_parts", f"total {total}, parts {asked[0] + made[0]}: buckets that overlap")
    for output in outputs:
        if asked[1] <= total - output < asked[0]:
            return total - output, output, total
    if made[1] <= total - asked[0] < made[0]:
        return asked[0], total - asked[0], total
    return asked[0], made[0], None
