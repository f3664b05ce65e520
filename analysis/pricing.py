"""The one pricing function: token counts x price rows -> exact pico-dollars, millions of calls a second.

A price row is chosen per call by model, service tier, time, time of day and the size of the whole request; then each
token kind is multiplied by its rate in integers and rounded half-even to a pico-dollar, once per component. The ledger
and every replay call the same `RateTable.price`, so the same usage always costs the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    import duckdb

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

NO_TIME: Final = np.iinfo(np.int64).min  # a call without a start time: priced at the book's own date
UNKNOWN: Final = -1  # a token count that the log does not hold
UNPRICED: Final = np.iinfo(np.int64).min  # a total that nobody can know
MAX_PICO: Final = 10**18  # DECIMAL(18,12): a single row stays below a million dollars

TIERS: Final = ("standard", "batch", "flex", "priority", "fast", "unknown")
UNKNOWN_TIER: Final = TIERS.index("unknown")

PRICED: Final = 0
PRICED_FALLBACK: Final = 1
ZERO_BY_OVERRIDE: Final = 2
GATEWAY_HIT: Final = 3
UNKNOWN_MODEL: Final = 4
UNKNOWN_TIER_STATUS: Final = 5
UNKNOWN_KIND: Final = 6
NO_USAGE: Final = 7
TOO_LARGE: Final = 8
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
)

# Rates of a price row, in nano-dollars per million tokens; the last two in nano-dollars per thousand uses.
KINDS: Final = (
    "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning",
    "audio_input", "audio_output", "image_input", "image_output", "per_request", "server_tool",
)  # fmt: skip
# What a kind without a price of its own is billed at (genai-prices' decomposition, read 2026-11).
PARENT: Final = {
    "cache_read": "input", "cache_write": "input", "cache_write_1h": "cache_write", "reasoning": "output",
    "audio_input": "input", "image_input": "input", "audio_output": "output", "image_output": "output",
}  # fmt: skip
_REASONING = KINDS.index("reasoning")
_BASE = 1_000_000_000
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Usage:
    """What n calls used: equal-length arrays, or None where no call of the batch has that kind.

    Counts are inclusive as in `calls`: `input` holds cache reads and writes, audio and images; `cache_write` holds
    `cache_write_1h`; `output` holds reasoning. `UNKNOWN` stands for NULL. `weight_micro` is the weight x 10^6.
    """

    model: Int32  # position in the list that `load_rates` was given
    start_ms: Int64  # UTC epoch milliseconds, or NO_TIME
    input: Int64
    output: Int64
    cache_read: Int64 | None = None
    cache_write: Int64 | None = None
    cache_write_1h: Int64 | None = None
    reasoning: Int64 | None = None
    audio_input: Int64 | None = None
    audio_output: Int64 | None = None
    image_input: Int64 | None = None
    image_output: Int64 | None = None
    server_tools: Int64 | None = None
    weight_micro: Int64 | None = None
    tier: Int8 | None = None

    def __len__(self) -> int:
        return len(self.model)


@dataclass(frozen=True)
class Priced:
    """What n calls cost, in pico-dollars. Components are 0 and `total` is UNPRICED where the status says NULL."""

    total: Int64
    uncached_input: Int64
    cache_read: Int64
    cache_write: Int64
    output: Int64
    reasoning: Int64
    other: Int64  # audio, images, per request, server tools
    status: Int8  # index into STATUSES
    price_id: Int32  # -1 where no price row was found

    def __len__(self) -> int:
        return len(self.total)


@dataclass(frozen=True)
class Rate:
    """One price row as the kernel needs it. `rates` follows KINDS in nano-dollars per million, None = not published."""

    price_id: int
    tier: str
    rates: Sequence[int | None]
    from_ms: int = NO_TIME
    to_ms: int = np.iinfo(np.int64).max
    tod_from_ms: int = 0
    tod_to_ms: int = _DAY_MS
    above_tokens: int = -1  # the row holds for requests with more input tokens than this ...
    upto_tokens: int = np.iinfo(np.int64).max  # ... and at most this many
    guessed: bool = False  # a backdated or inferred row: its calls read `priced_fallback`
    zero: bool = False  # set to nothing by the user


@dataclass(frozen=True)
class RateTable:
    """Price rows of some models in the form the kernel reads; model index = position in the list asked for."""

    first: Int32  # rows of (model, tier) are first[model * len(TIERS) + tier] up to the next entry
    known: NDArray[np.bool_]  # per model: whether it has any price row
    bounds: Int64  # rows x (from_ms, to_ms, tod_from, tod_to, above, upto)
    rates: Int64  # rows x KINDS, -1 = no price
    flags: Int32  # bit k: KINDS[k] was filled from its parent; bit 30: guessed row; bit 29: zero by override
    price_id: Int32
    as_of_ms: int  # the date at which calls without a time are priced

    @classmethod
    def build(cls, models: Sequence[Sequence[Rate]], *, as_of_ms: int) -> RateTable:
        """From the price rows of each model, in any order; rows of one tier must not overlap."""
        first = [0]
        rows: list[Rate] = []
        for model in models:
            for tier in TIERS:
                rows += sorted(
                    (rate for rate in model if rate.tier == tier),
                    key=lambda rate: (-rate.from_ms, rate.tod_from_ms, rate.above_tokens),
                )
                first.append(len(rows))
        filled = [_fill(rate.rates) for rate in rows]
        return cls(
            first=np.array(first, np.int32),
            known=np.array([bool(model) for model in models], np.bool_),
            bounds=np.array(
                [(r.from_ms, r.to_ms, r.tod_from_ms, r.tod_to_ms, r.above_tokens, r.upto_tokens) for r in rows],
                np.int64,
            ).reshape(len(rows), 6),
            rates=np.array([rates for rates, _ in filled], np.int64).reshape(len(rows), len(KINDS)),
            flags=np.array(
                [mask | (r.guessed << 30) | (r.zero << 29) for (_, mask), r in zip(filled, rows, strict=True)],
                np.int32,
            ),
            price_id=np.array([r.price_id for r in rows], np.int32),
            as_of_ms=as_of_ms,
        )

    def price(self, usage: Usage) -> Priced:
        """The cost of every call, in the order given. Pure integers; equal usage gives equal bytes."""
        n = len(usage)
        columns = []
        for name in _COLUMNS:
            array = getattr(usage, name)
            columns.append(_ONE_UNKNOWN if array is None else np.ascontiguousarray(array, np.int64))
            if array is not None and len(array) != n:
                raise ValueError(f"usage.{name} has {len(array)} rows, usage.model has {n}")
        weight = _ONE_CALL if usage.weight_micro is None else np.ascontiguousarray(usage.weight_micro, np.int64)
        tier = _STANDARD if usage.tier is None else np.ascontiguousarray(usage.tier, np.int8)
        amounts = np.zeros((7, n), np.int64)
        status = np.zeros(n, np.int8)
        price_id = np.full(n, -1, np.int32)
        kernel: Any = _price
        kernel(
            np.ascontiguousarray(usage.model, np.int32),
            tier,
            weight,
            *columns,
            self.first, self.known, self.bounds, self.rates, self.flags, self.price_id, self.as_of_ms,
            amounts, status, price_id,
        )  # fmt: skip
        names = ("total", "uncached_input", "cache_read", "cache_write", "output", "reasoning", "other")
        return Priced(**dict(zip(names, amounts, strict=True)), status=status, price_id=price_id)


def load_rates(con: duckdb.DuckDBPyConnection, models: Sequence[tuple[str | None, str | None]]) -> RateTable:
    """Rates of (provider_name, model) pairs as logged; the position in `models` is the model index of `Usage`."""
    from analysis.rates import load_rates as load

    return load(con, models)


_COLUMNS = (
    "start_ms", "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning",
    "audio_input", "audio_output", "image_input", "image_output", "server_tools",
)  # fmt: skip
assert {f.name for f in fields(Usage)} == {*_COLUMNS, "model", "tier", "weight_micro"}
_ONE_UNKNOWN = np.array([UNKNOWN], np.int64)
_ONE_CALL = np.array([1_000_000], np.int64)
_STANDARD = np.array([0], np.int8)


def _fill(rates: Sequence[int | None]) -> tuple[list[int], int]:
    """Rates with gaps closed from the parent kind, and the bit mask of the kinds so closed.

    Reasoning at the output price is how every provider bills it, so it is not marked.
    """
    found = dict(zip(KINDS, rates, strict=True))
    mask = 0
    for kind, parent in PARENT.items():
        if found[kind] is None and found[parent] is not None:
            found[kind] = found[parent]
            if KINDS.index(kind) != _REASONING:
                mask |= 1 << KINDS.index(kind)
    return [-1 if found[kind] is None else int(found[kind] or 0) for kind in KINDS], mask


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
def _price(  # type: ignore[no-untyped-def]
    model, tier, weight, start_ms, n_input, n_read, n_write, n_hour, n_output, n_reasoning,
    n_audio_in, n_audio_out, n_image_in, n_image_out, n_tools,
    first, known, bounds, rates, flags, row_id, as_of_ms, amounts, status, price_id,
):  # fmt: skip
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
    s_tool = 1 if len(n_tools) > 1 else 0
    counts = np.zeros(12, np.int64)
    part = np.zeros(12, np.int64)
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
        row = _find(bounds, at, at % 86_400_000, max(total_in, 0), begin, end)
        if row < 0:
            status[i] = UNKNOWN_TIER_STATUS
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
        # the cached part may be audio or images; what does not fit beside it was cached
        audio_in = min(max(n_audio_in[i * s_ai], 0), total_in - read - write)
        image_in = min(max(n_image_in[i * s_ii], 0), total_in - read - write - audio_in)
        reasoning = min(max(n_reasoning[i * s_reason], 0), total_out)
        audio_out = min(max(n_audio_out[i * s_ao], 0), total_out - reasoning)
        image_out = min(max(n_image_out[i * s_io], 0), total_out - reasoning - audio_out)
        counts[0] = total_in - read - write - audio_in - image_in
        counts[1] = read
        counts[2] = write - hour
        counts[3] = hour
        counts[4] = total_out - reasoning - audio_out - image_out
        counts[5] = reasoning
        counts[6] = audio_in
        counts[7] = audio_out
        counts[8] = image_in
        counts[9] = image_out
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
        for kind in range(10):
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
        # per thousand uses: one use costs rate / 1000 nano-dollars = the rate in pico-dollars
        part[10] = part[11] = 0
        if rates[row, 10] > 0:
            part[10] = _amount(1000, rates[row, 10], w)
        uses = max(n_tools[i * s_tool], 0)
        if uses > 0:
            if rates[row, 11] < 0:
                status[i] = UNKNOWN_KIND
                continue
            part[11] = _amount(1000 * uses, rates[row, 11], w)
        total = 0.0
        for kind in range(12):
            total += float(part[kind])
        if total >= 1.0e18 or part[10] < 0 or part[11] < 0:
            status[i] = TOO_LARGE
            continue
        amounts[1, i] = part[0]
        amounts[2, i] = part[1]
        amounts[3, i] = part[2] + part[3]
        amounts[4, i] = part[4]
        amounts[5, i] = part[5]
        amounts[6, i] = part[6] + part[7] + part[8] + part[9] + part[10] + part[11]
        amounts[0, i] = amounts[1, i] + amounts[2, i] + amounts[3, i] + amounts[4, i] + amounts[5, i] + amounts[6, i]
        status[i] = found
