"""`analysis.pricing.numba_kernel.price_calls` over whole arrays: the same integers, without the second that numba
takes to come up.

For a ledger that is priced once and has few calls. Every line has its counterpart in the compiled loop, and
`tests/analysis/pricing/test_numpy_kernel.py` holds the two together.
"""

from __future__ import annotations

import numpy as np

from analysis.array_types import Int32Array, Int64Array
from analysis.calendar_days import DAY_MS
from analysis.price_book.vocabulary import (  # fmt: skip
    CODE_INTERPRETER,
    KINDS,
    NO_TIME,
    NO_USAGE,
    PER_REQUEST,
    PRICED,
    PRICED_FALLBACK,
    TIERS,
    TOO_LARGE,
    UNKNOWN_KIND,
    UNKNOWN_MODEL,
    UNKNOWN_TIER_STATUS,
    UNPRICED,
    WEB_SEARCH,
    WEB_SEARCH_PROMPT,
    ZERO_BY_OVERRIDE,
)
from analysis.pricing.kernel_arrays import PricedArrays, RateArrays, UsageArrays

_WHOLE = 1_000_000  # the weight of one call
_PLAIN = 9.0e18  # a product below it fits in an int64
_LIMIT = 10**18
_BLOCK = 1 << 14  # calls whose columns stay in a processor's cache


def price_calls(usage: UsageArrays, rate_arrays: RateArrays, priced: PricedArrays) -> None:
    """Fill `priced` in place, a block of calls at a time."""
    for start in range(0, len(usage.model), _BLOCK):
        part = slice(start, start + _BLOCK)
        _price_block(
            UsageArrays._make(column if len(column) == 1 else column[part] for column in usage),
            rate_arrays,
            PricedArrays(priced.pico_amounts[:, part], priced.status[part], priced.price_id[part]),
        )


def _price_block(usage: UsageArrays, rate_arrays: RateArrays, priced: PricedArrays) -> None:
    (
        model, tier, weight, start_ms, n_input, n_read, n_write, n_hour, n_output, n_reasoning,
        n_audio_in, n_audio_out, n_image_in, n_image_out, n_audio_read, n_image_read,
        n_web, n_result, n_file, n_code, n_maps, n_image_gen, n_other_tool, n_context,
    ) = usage  # fmt: skip
    first, known, bounds, rates, flags, row_id, as_of_ms = rate_arrays
    amounts, status, price_id = priced
    size = len(model)
    amounts[0] = UNPRICED
    status[:] = UNKNOWN_MODEL
    if not len(known):
        return
    guessed = np.broadcast_to(start_ms == NO_TIME, size)
    at = np.broadcast_to(np.where(start_ms == NO_TIME, as_of_ms, start_ms), size)
    slot = model.astype(np.int64) * len(TIERS) + tier
    named = (model >= 0) & known[np.maximum(model, 0)]
    row = _rows(np.flatnonzero(named), slot, at, np.broadcast_to(n_input, size), first, bounds)
    status[named & (row < 0) & (slot != model.astype(np.int64) * len(TIERS))] = UNKNOWN_TIER_STATUS
    calls = np.flatnonzero(row >= 0)
    price_id[calls] = row_id[row[calls]]
    free = (flags[row[calls]] & (1 << 29)) != 0
    amounts[0, calls[free]] = 0
    status[calls[free]] = ZERO_BY_OVERRIDE
    calls = calls[~free]

    def of(values: Int64Array) -> Int64Array:
        whole = np.broadcast_to(values, size)
        return whole if len(calls) == size else whole[calls]

    total_in, total_out = of(n_input), of(n_output)
    # an embedding has no output price, and its log no output count: that one is not unknown
    total_out = np.where((total_out < 0) & (rates[row[calls], 4] < 0), 0, total_out)
    used = (total_in >= 0) & (total_out >= 0)
    status[calls[~used]] = NO_USAGE
    calls, total_in, total_out = calls[used], total_in[used], total_out[used]
    row = row[calls]

    def part(values: Int64Array, left: Int64Array) -> Int64Array:
        return np.minimum(np.maximum(of(values), 0), left)

    read = part(n_read, total_in)
    write = part(n_write, total_in - read)
    hour = part(n_hour, write)
    audio_read = part(n_audio_read, read)
    image_read = part(n_image_read, read - audio_read)
    # where the log does not split the cache, what does not fit beside it was cached
    audio_in = np.minimum(np.maximum(of(n_audio_in) - audio_read, 0), total_in - read - write)
    image_in = np.minimum(np.maximum(of(n_image_in) - image_read, 0), total_in - read - write - audio_in)
    reasoning = part(n_reasoning, total_out)
    audio_out = part(n_audio_out, total_out - reasoning)
    image_out = part(n_image_out, total_out - reasoning - audio_out)
    counts = (
        total_in - read - write - audio_in - image_in, read - audio_read - image_read, write - hour, hour,
        total_out - reasoning - audio_out - image_out, reasoning, audio_in, audio_read, audio_out, image_in, image_read,
        image_out,
    )  # fmt: skip
    flag = flags[row]
    clipped = (of(n_read) > read) | (of(n_write) > write) | (of(n_hour) > hour) | (of(n_reasoning) > reasoning)
    fallback = guessed[calls] | clipped | ((flag & (1 << 30)) != 0)
    found = np.where(fallback, PRICED_FALLBACK, PRICED).astype(status.dtype)
    weights = of(weight)
    parts = np.zeros((len(KINDS), len(calls)), np.int64)
    sound = np.ones(len(calls), bool)
    for kind, count in enumerate(counts):
        some = sound & (count > 0)
        if not some.any():
            continue
        rate = rates[row, kind]
        found[some & (rate < 0)] = UNKNOWN_KIND
        some &= rate >= 0
        parts[kind, some] = _amounts(count[some], rate[some], weights[some])
        large = some & (parts[kind] < 0)
        found[large] = TOO_LARGE
        found[some & ~large & ((flag & (1 << kind)) != 0)] = PRICED_FALLBACK
        sound &= ~large & ((count <= 0) | (rate >= 0))
    # per thousand uses: one use costs rate / 1000 nano-dollars = the rate in pico-dollars
    fee, context = rates[row, PER_REQUEST], of(n_context)
    for asked, kind in ((1, PER_REQUEST + 2), (2, PER_REQUEST + 1)):
        fee = np.where((context == asked) & (rates[row, kind] >= 0), rates[row, kind], fee)
    requests = sound & (fee > 0)
    parts[PER_REQUEST, requests] = _amounts(np.int64(1000), fee[requests], weights[requests])
    unknown = np.zeros(len(calls), bool)
    searches = np.maximum(of(n_web), 0)
    by_prompt = (searches > 0) & (rates[row, WEB_SEARCH] < 0)
    uses_of = {
        WEB_SEARCH: np.where(by_prompt, 0, searches), WEB_SEARCH_PROMPT: np.where(by_prompt, 1, 0),
        **dict(enumerate((n_result, n_file, n_code, n_maps, n_image_gen, n_other_tool), WEB_SEARCH_PROMPT + 1)),
    }  # fmt: skip
    for kind, column in uses_of.items():
        if kind > WEB_SEARCH_PROMPT:
            column = np.maximum(of(column), 0)
        some = sound & (column > 0)
        if not some.any():
            continue
        unknown |= some & (rates[row, kind] < 0)
        some &= rates[row, kind] >= 0
        parts[kind, some] = _amounts(1000 * column[some], rates[row[some], kind], weights[some])
        if kind == CODE_INTERPRETER:
            found[some] = PRICED_FALLBACK  # another call may have opened the container
    found[unknown] = UNKNOWN_KIND
    sound &= ~unknown
    total = np.zeros(len(calls))
    for amount in parts:
        total += amount.astype(np.float64)
    large = sound & ((total >= float(_LIMIT)) | (parts < 0).any(axis=0))
    found[large] = TOO_LARGE
    sound &= ~large
    status[calls] = found
    good, parts = calls[sound], parts[:, sound]
    amounts[1, good] = parts[0]
    amounts[2, good] = parts[1]
    amounts[3, good] = parts[2] + parts[3]
    amounts[4, good] = parts[4]
    amounts[5, good] = parts[5]
    amounts[6, good] = parts[6:].sum(axis=0)
    amounts[0, good] = amounts[1:, good].sum(axis=0)


def _rows(
    calls: Int64Array, slot: Int64Array, at: Int64Array, tokens: Int64Array, first: Int32Array, bounds: Int64Array
) -> Int64Array:
    """The price row of each call, shape of `slot`; -1 where none holds at its time and size, and outside `calls`."""
    row = np.full(len(slot), -1, np.int64)
    order = calls[np.argsort(slot[calls], kind="stable")]
    found, starts = np.unique(slot[order], return_index=True)
    for number, left in zip(found.tolist(), np.split(order, starts[1:]), strict=False):
        for candidate in range(first[number], first[number + 1]):
            start, end, low, high, above, upto = bounds[candidate]
            when, size = at[left], np.maximum(tokens[left], 0)
            clock = when % DAY_MS
            inside = (low <= clock) & (clock < high) if low <= high else (clock >= low) | (clock < high)
            inside &= (when >= start) & (when < end) & (size > above) & (size <= upto)
            row[left[inside]] = candidate
            left = left[~inside]
            if not len(left):
                break
    return row


def _amounts(tokens: Int64Array | np.int64, rate: Int64Array, weight: Int64Array) -> Int64Array:
    """Pico-dollars of `tokens` at `rate` nano-dollars per million, times weight; -1 beyond MAX_PICO."""
    plain = (weight == _WHOLE) & (tokens.astype(np.float64) * rate.astype(np.float64) < _PLAIN)
    all_plain = bool(plain.all())
    product = (tokens if all_plain else np.where(plain, tokens, 0)) * rate
    whole = product // 1000
    rest = product - whole * 1000
    whole += (rest > 500) | ((rest == 500) & (whole & 1 == 1))
    for place in () if all_plain else np.flatnonzero(~plain).tolist():
        whole[place] = _wide(int(np.broadcast_to(tokens, plain.shape)[place]), int(rate[place]), int(weight[place]))
    return whole


def _wide(tokens: int, rate: int, weight: int) -> int:
    """tokens x rate x weight / 10^9, half-even; -1 beyond MAX_PICO."""
    whole, rest = divmod(tokens * rate * weight, 10**9)
    if whole >= _LIMIT:
        return -1
    return whole + (rest > 500_000_000 or (rest == 500_000_000 and whole & 1 == 1))
