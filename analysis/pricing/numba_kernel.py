"""The compiled loop of the one pricing function: choose a price row, multiply, round half-even. Integers only."""

from __future__ import annotations

import numpy as np
from numba import njit

from analysis.calendar_days import DAY_MS
from analysis.price_book.vocabulary import (  # fmt: skip
    CODE_INTERPRETER,
    KINDS,
    NO_TIME,
    NO_USAGE,
    PER_REQUEST,
    PRICED,
    PRICED_FALLBACK,
    TOKEN_KINDS,
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

_KINDS = len(KINDS)
_TOKENS = len(TOKEN_KINDS)
_FIRST_TOOL = WEB_SEARCH_PROMPT + 1


@njit(cache=True, nogil=True)
def _wide(tokens: int, rate: int, weight: int) -> int:
    """tokens x rate x weight / 10^9, half-even, in base 10^9 limbs; -1 beyond MAX_PICO. All factors < 10^18."""
    limbs = np.zeros(7, np.int64)
    limbs[0] = tokens % 1_000_000_000
    limbs[1] = tokens // 1_000_000_000
    used = 2
    for factor in (rate, weight):
        low = factor % 1_000_000_000
        high = factor // 1_000_000_000
        product = np.zeros(7, np.int64)
        for i in range(used):
            for j in range(2):
                if i + j > 6:
                    continue
                product[i + j] += limbs[i] * (low if j == 0 else high)
                product[i + j + 1] += product[i + j] // 1_000_000_000
                product[i + j] %= 1_000_000_000
        limbs = product
        used += 2
    for i in range(3, 7):
        if limbs[i]:
            return -1
    whole = limbs[1] + limbs[2] * 1_000_000_000
    rest = limbs[0]
    if rest > 500_000_000 or (rest == 500_000_000 and whole & 1):
        whole += 1
    return whole


@njit(cache=True, nogil=True, inline="always")
def _amount(tokens: int, rate: int, weight: int) -> int:
    """Pico-dollars of `tokens` at `rate` nano-dollars per million, times weight; -1 beyond MAX_PICO."""
    if weight == 1_000_000 and float(tokens) * float(rate) < 9.0e18:
        product = tokens * rate
        whole = product // 1000
        rest = product - whole * 1000
        if rest > 500 or (rest == 500 and whole & 1):
            whole += 1
        return whole
    return _wide(tokens, rate, weight)


@njit(cache=True, nogil=True)
def _find(bounds, at, time_of_day, tokens, begin, end):  # type: ignore[no-untyped-def]
    """The row of [begin, end) that holds at this time and request size, or -1."""
    for row in range(begin, end):
        if at < bounds[row, 0] or at >= bounds[row, 1]:
            continue
        if tokens <= bounds[row, 4] or tokens > bounds[row, 5]:
            continue
        low = bounds[row, 2]
        high = bounds[row, 3]
        inside = (low <= time_of_day < high) if low <= high else (time_of_day >= low or time_of_day < high)
        if inside:
            return row
    return -1


@njit(cache=True, nogil=True)
def price_calls(usage: UsageArrays, rate_arrays: RateArrays, priced: PricedArrays) -> None:
    """Fill `priced` in place."""
    (
        model, tier, weight, start_ms, n_input, n_read, n_write, n_hour, n_output, n_reasoning,
        n_audio_in, n_audio_out, n_image_in, n_image_out, n_audio_read, n_image_read,
        n_web, n_result, n_file, n_code, n_maps, n_image_gen, n_other_tool, n_context,
    ) = usage  # fmt: skip
    first, known, bounds, rates, flags, row_id, as_of_ms = rate_arrays
    amounts, status, price_id = priced
    s_time = 1 if len(start_ms) > 1 else 0
    s_tier = 1 if len(tier) > 1 else 0
    s_weight = 1 if len(weight) > 1 else 0
    s_in = 1 if len(n_input) > 1 else 0
    s_out = 1 if len(n_output) > 1 else 0
    s_read = 1 if len(n_read) > 1 else 0
    s_write = 1 if len(n_write) > 1 else 0
    s_hour = 1 if len(n_hour) > 1 else 0
    s_reason = 1 if len(n_reasoning) > 1 else 0
    s_ai = 1 if len(n_audio_in) > 1 else 0
    s_ao = 1 if len(n_audio_out) > 1 else 0
    s_ii = 1 if len(n_image_in) > 1 else 0
    s_io = 1 if len(n_image_out) > 1 else 0
    s_ar = 1 if len(n_audio_read) > 1 else 0
    s_ir = 1 if len(n_image_read) > 1 else 0
    s_web = 1 if len(n_web) > 1 else 0
    s_context = 1 if len(n_context) > 1 else 0
    tools = (n_result, n_file, n_code, n_maps, n_image_gen, n_other_tool)
    # one array of one value is a count that no call has, unless there is only one call
    uses_tools = len(model) == 1 or len(n_web) > 1 or len(n_context) > 1
    for column in tools:
        uses_tools = uses_tools or len(column) > 1
    counts = np.zeros(_TOKENS, np.int64)
    part = np.zeros(_KINDS, np.int64)
    for i in range(len(model)):
        amounts[0, i] = UNPRICED
        m = model[i]
        if m < 0 or not known[m]:
            status[i] = UNKNOWN_MODEL
            continue
        slot = m * 6 + tier[i * s_tier]
        begin = first[slot]
        end = first[slot + 1]
        total_in = n_input[i * s_in]
        total_out = n_output[i * s_out]
        at = start_ms[i * s_time]
        guessed = at == NO_TIME
        if guessed:
            at = as_of_ms
        row = _find(bounds, at, at % DAY_MS, max(total_in, 0), begin, end)
        if row < 0:
            # a model whose standard price begins later is as unknown on that day as one without any
            status[i] = UNKNOWN_MODEL if slot == m * 6 else UNKNOWN_TIER_STATUS
            continue
        price_id[i] = row_id[row]
        if flags[row] & (1 << 29):
            amounts[0, i] = 0
            status[i] = ZERO_BY_OVERRIDE
            continue
        # an embedding has no output price, and its log no output count: that one is not unknown
        if total_out < 0 and rates[row, 4] < 0:
            total_out = 0
        if total_in < 0 or total_out < 0:
            status[i] = NO_USAGE
            continue
        read = min(max(n_read[i * s_read], 0), total_in)
        write = min(max(n_write[i * s_write], 0), total_in - read)
        hour = min(max(n_hour[i * s_hour], 0), write)
        audio_read = min(max(n_audio_read[i * s_ar], 0), read)
        image_read = min(max(n_image_read[i * s_ir], 0), read - audio_read)
        # where the log does not split the cache, what does not fit beside it was cached
        audio_in = min(max(n_audio_in[i * s_ai] - audio_read, 0), total_in - read - write)
        image_in = min(max(n_image_in[i * s_ii] - image_read, 0), total_in - read - write - audio_in)
        reasoning = min(max(n_reasoning[i * s_reason], 0), total_out)
        audio_out = min(max(n_audio_out[i * s_ao], 0), total_out - reasoning)
        image_out = min(max(n_image_out[i * s_io], 0), total_out - reasoning - audio_out)
        counts[0] = total_in - read - write - audio_in - image_in
        counts[1] = read - audio_read - image_read
        counts[2] = write - hour
        counts[3] = hour
        counts[4] = total_out - reasoning - audio_out - image_out
        counts[5] = reasoning
        counts[6] = audio_in
        counts[7] = audio_read
        counts[8] = audio_out
        counts[9] = image_in
        counts[10] = image_read
        counts[11] = image_out
        w = weight[i * s_weight]
        found = PRICED
        clipped = (
            n_read[i * s_read] > read
            or n_write[i * s_write] > write
            or n_hour[i * s_hour] > hour
            or n_reasoning[i * s_reason] > reasoning
        )
        if guessed or clipped or flags[row] & (1 << 30):
            found = PRICED_FALLBACK
        for kind in range(_TOKENS):
            part[kind] = 0
            if counts[kind] > 0:
                if rates[row, kind] < 0:
                    found = UNKNOWN_KIND
                    break
                part[kind] = _amount(counts[kind], rates[row, kind], w)
                if part[kind] < 0:
                    found = TOO_LARGE
                    break
                if flags[row] & (1 << kind):
                    found = PRICED_FALLBACK
        if found in (UNKNOWN_KIND, TOO_LARGE):
            status[i] = found
            continue
        total = 0.0
        other = 0
        for kind in range(_TOKENS):
            total += float(part[kind])
            if kind > 5:
                other += part[kind]
        # per thousand uses: one use costs rate / 1000 nano-dollars = the rate in pico-dollars
        large = False
        fee = rates[row, PER_REQUEST]
        if uses_tools:
            context = n_context[i * s_context]
            if context == 1 and rates[row, PER_REQUEST + 2] >= 0:
                fee = rates[row, PER_REQUEST + 2]
            elif context == 2 and rates[row, PER_REQUEST + 1] >= 0:
                fee = rates[row, PER_REQUEST + 1]
        if fee > 0:
            amount = _amount(1000, fee, w)
            large = amount < 0
            total += float(amount)
            other += amount
        if uses_tools:
            for kind in range(WEB_SEARCH, _KINDS):
                part[kind] = 0
            searches = max(n_web[i * s_web], 0)
            if searches > 0:
                if rates[row, WEB_SEARCH] >= 0:
                    part[WEB_SEARCH] = _amount(1000 * searches, rates[row, WEB_SEARCH], w)
                elif rates[row, WEB_SEARCH_PROMPT] >= 0:
                    part[WEB_SEARCH_PROMPT] = _amount(1000, rates[row, WEB_SEARCH_PROMPT], w)
                else:
                    found = UNKNOWN_KIND
            for k, column in enumerate(tools):
                uses = max(column[i if len(column) > 1 else 0], 0)
                if uses > 0:
                    kind = _FIRST_TOOL + k
                    if rates[row, kind] < 0:
                        found = UNKNOWN_KIND
                    else:
                        part[kind] = _amount(1000 * uses, rates[row, kind], w)
                        if kind == CODE_INTERPRETER and found == PRICED:
                            found = PRICED_FALLBACK  # another call may have opened the container
            if found == UNKNOWN_KIND:
                status[i] = found
                continue
            for kind in range(WEB_SEARCH, _KINDS):
                total += float(part[kind])
                large = large or part[kind] < 0
                other += part[kind]
        if total >= 1.0e18 or large:
            status[i] = TOO_LARGE
            continue
        amounts[1, i] = part[0]
        amounts[2, i] = part[1]
        amounts[3, i] = part[2] + part[3]
        amounts[4, i] = part[4]
        amounts[5, i] = part[5]
        amounts[6, i] = other
        amounts[0, i] = amounts[1, i] + amounts[2, i] + amounts[3, i] + amounts[4, i] + amounts[5, i] + amounts[6, i]
        status[i] = found
