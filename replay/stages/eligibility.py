"""Can the target model serve this call at all: window, answer length, tools, images, output format.

A row that stands for several calls is left with its model too: its counts are no call's.
A call that does not fit stays with its logged model and is counted under the first reason that holds it back.
A limit that nobody publishes holds nothing back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.pricing.model_info import ModelInfo, model_info
from ingest.records.call import SUM_OF_CALLS

if TYPE_CHECKING:
    from replay.traffic.traffic import Traffic

Bools = NDArray[np.bool_]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

REASONS: Final = ("sum of calls", "window", "answer", "tools", "images", "format")
_PIECE: Final = 500_000  # calls looked at together
COLUMNS: Final = ("max_tokens", "tool_count", "has_images", "response_format", "tokens_source")


@dataclass(frozen=True)
class Needs:
    """What each call asks of a model. -1 where a number is not known."""

    input_tokens: Int64  # of the prompt as it would be sent, after compression
    output_tokens: Int64  # of the logged answer
    max_tokens: Int64  # the caller's limit
    tools: Bools
    images: Bools
    structured: Bools  # asks for an answer that follows a JSON schema
    sums: Bools  # stands for several calls


def fits(info: ModelInfo, needs: Needs) -> dict[str, Bools]:
    """By reason, where this model cannot serve the call.

    The providers count the room reserved for the answer (max_tokens) against the window, and refuse a request that
    exceeds it (OpenAI, error `context_length_exceeded`). A caller's limit above the model's own counts as the model's.
    """
    n = len(needs.input_tokens)
    none = np.zeros(n, bool)
    answer = np.maximum(needs.output_tokens, 0)
    limit = info.max_output_tokens
    reserved = needs.max_tokens if limit is None else np.minimum(needs.max_tokens, limit)
    room = np.maximum(answer, reserved)
    window = info.context_window
    return {
        "sum of calls": needs.sums,
        "window": none if window is None else (needs.input_tokens >= 0) & (needs.input_tokens + room > window),
        "answer": none if limit is None else answer > limit,
        "tools": needs.tools if info.supports_tools is False else none,
        "images": needs.images if info.supports_vision is False else none,
        "format": needs.structured if info.supports_schema is False else none,
    }


def needs_of(traffic: Traffic, input_tokens: Int64, calls: Int64) -> Iterator[tuple[Int64, Needs]]:
    """The needs of the calls at the positions `calls`, piece by piece; `input_tokens` as they would be sent."""
    frame = traffic.rule_frame(COLUMNS)
    output = traffic.tokens("output")
    for start in range(0, len(calls), _PIECE):
        here = calls[start : start + _PIECE]
        rows = frame[here]
        yield (
            here,
            Needs(
                input_tokens=input_tokens[here],
                output_tokens=output[here],
                max_tokens=rows["max_tokens"].cast(pl.Int64).fill_null(-1).to_numpy(),
                tools=(rows["tool_count"].cast(pl.Int64).fill_null(0) > 0).to_numpy(),
                images=rows["has_images"].cast(pl.Boolean).fill_null(False).to_numpy(),
                structured=(rows["response_format"].cast(pl.String).fill_null("text") == "json_schema").to_numpy(),
                sums=(rows["tokens_source"].cast(pl.String) == SUM_OF_CALLS).fill_null(False).to_numpy(),
            ),
        )


def refusals(
    traffic: Traffic, models: Sequence[tuple[str | None, str | None]], wanted: Int32, input_tokens: Int64
) -> dict[str, Bools]:
    """By reason, the calls that their wanted model (an index into `models`) cannot serve; the first reason counts.

    A call that keeps its logged model always fits: it did.
    """
    moved = wanted != traffic.model
    against = {reason: np.zeros(len(wanted), bool) for reason in REASONS}
    for number in np.flatnonzero(np.bincount(wanted[moved])).tolist():
        info = model_info(*models[number])
        for calls, needs in needs_of(traffic, input_tokens, np.flatnonzero(moved & (wanted == number))):
            free = np.ones(len(calls), bool)
            for reason, blocked in fits(info, needs).items():
                against[reason][calls[free & blocked]] = True
                free &= ~blocked
    return against
