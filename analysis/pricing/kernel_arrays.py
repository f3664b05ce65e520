"""The arrays that both pricing kernels read and fill. Named tuples, because compiled code takes them as they are."""

from __future__ import annotations

from typing import NamedTuple

from analysis.array_types import BoolArray, Int8Array, Int32Array, Int64Array


class UsageArrays(NamedTuple):
    """What n calls used, by `rate_table.Usage`: shape (n,), or (1,) where one value holds for every call.

    Token counts are inclusive, -1 where not known; `start_ms` is UTC epoch milliseconds or NO_TIME.
    """

    model: Int32Array  # always (n,)
    tier: Int8Array
    weight_micro: Int64Array
    start_ms: Int64Array
    input: Int64Array
    cache_read: Int64Array
    cache_write: Int64Array
    cache_write_1h: Int64Array
    output: Int64Array
    reasoning: Int64Array
    audio_input: Int64Array
    audio_output: Int64Array
    image_input: Int64Array
    image_output: Int64Array
    audio_cache_read: Int64Array
    image_cache_read: Int64Array
    web_search: Int64Array
    web_result: Int64Array
    file_search: Int64Array
    code_interpreter: Int64Array
    maps: Int64Array
    image_generation: Int64Array
    other_tool: Int64Array
    search_context: Int64Array


class RateArrays(NamedTuple):
    """Price rows by model and service tier, as `rate_table.RateTable` holds them."""

    first: Int32Array  # (models x tiers + 1,)
    known: BoolArray  # (models,)
    bounds: Int64Array  # (rows, 6)
    nano_rates: Int64Array  # (rows, kinds), -1 = no price
    flags: Int32Array  # (rows,)
    price_id: Int32Array  # (rows,)
    as_of_ms: int


class PricedArrays(NamedTuple):
    """The result, filled in place."""

    pico_amounts: Int64Array  # (7, n): total, uncached input, cache read, cache write, output, reasoning, other
    status: Int8Array  # (n,), an index into STATUSES
    price_id: Int32Array  # (n,), -1 where no price row holds
