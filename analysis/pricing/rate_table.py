"""The one pricing function: token counts x price rows -> exact pico-dollars, millions of calls a second.

A price row is chosen per call by model, service tier, time, time of day and the size of the whole request; then each
token kind is multiplied by its rate in integers and rounded half-even to a pico-dollar, once per component. The ledger
and every replay call the same `RateTable.price`, so the same usage always costs the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.array_types import BoolArray, Int8Array, Int32Array, Int64Array
from analysis.calendar_days import DAY_MS
from analysis.price_book.vocabulary import (  # fmt: skip
    KINDS,
    NO_TIME,
    PARENT,
    TIERS,
    TOOLS,
    UNKNOWN,
)
from analysis.pricing.kernel_arrays import PricedArrays, RateArrays, UsageArrays

_FOREVER = 2**63 - 1
_FEW_WEIGHTS = 10_000  # calls that stand for others, which arrays take one by one

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Usage:
    """What n calls used: equal-length arrays, or None where no call of the batch has that kind.

    Counts are inclusive as in `calls`: `input` holds cache reads and writes, audio and images; `cache_write` holds
    `cache_write_1h`; `output` holds reasoning; `audio_input` holds `audio_cache_read`. `UNKNOWN` stands for
    NULL. `weight_micro` is the weight x 10^6.
    """

    model: Int32Array  # position in the list that `load_rates` was given
    start_ms: Int64Array  # UTC epoch milliseconds, or NO_TIME
    input: Int64Array
    output: Int64Array
    cache_read: Int64Array | None = None
    cache_write: Int64Array | None = None
    cache_write_1h: Int64Array | None = None
    reasoning: Int64Array | None = None
    audio_input: Int64Array | None = None
    audio_output: Int64Array | None = None
    image_input: Int64Array | None = None
    image_output: Int64Array | None = None
    audio_cache_read: Int64Array | None = None  # the parts of `cache_read` that are audio and images
    image_cache_read: Int64Array | None = None
    web_search: Int64Array | None = None  # uses of a provider's tools, by kind
    web_result: Int64Array | None = None
    file_search: Int64Array | None = None
    code_interpreter: Int64Array | None = None
    maps: Int64Array | None = None
    image_generation: Int64Array | None = None
    other_tool: Int64Array | None = None
    search_context: Int64Array | None = None  # 1 + the place in SEARCH_CONTEXTS
    weight_micro: Int64Array | None = None
    tier: Int8Array | None = None

    def __len__(self) -> int:
        return len(self.model)


@dataclass(frozen=True)
class Priced:
    """What n calls cost, in pico-dollars. Components are 0 and `total` is UNPRICED where the status says NULL."""

    total: Int64Array
    uncached_input: Int64Array
    cache_read: Int64Array
    cache_write: Int64Array
    output: Int64Array
    reasoning: Int64Array
    other: Int64Array  # audio, images, requests, tools
    status: Int8Array  # index into STATUSES
    price_id: Int32Array  # -1 where no price row was found

    def __len__(self) -> int:
        return len(self.total)


@dataclass(frozen=True)
class Rate:
    """One price row as the kernel needs it. `rates` follows KINDS in nano-dollars per million, None = not published."""

    price_id: int
    tier: str
    rates: Sequence[int | None]
    from_ms: int = NO_TIME
    to_ms: int = _FOREVER
    tod_from_ms: int = 0
    tod_to_ms: int = DAY_MS
    above_tokens: int = -1  # the row holds for requests with more input tokens than this ...
    upto_tokens: int = _FOREVER  # ... and at most this many
    guessed: bool = False  # a backdated or inferred row: its calls read `priced_fallback`
    zero: bool = False  # set to nothing by the user


@dataclass(frozen=True)
class RateTable:
    """Price rows of some models in the form the kernel reads; model index = position in the list asked for."""

    first: Int32Array  # rows of (model, tier) are first[model * len(TIERS) + tier] up to the next entry
    known: BoolArray  # per model: whether it has any price row
    bounds: Int64Array  # rows x (from_ms, to_ms, tod_from, tod_to, above, upto)
    rates: Int64Array  # rows x KINDS, -1 = no price
    flags: Int32Array  # bit k: KINDS[k] was filled from its parent; bit 30: guessed row; bit 29: zero by override
    price_id: Int32Array
    as_of_ms: int  # the date at which calls without a time are priced

    @property
    def above_tokens(self) -> Int64Array:
        """Input tokens above which each row holds, -1 where it holds for any length; shape (rows,)."""
        return self.bounds[:, 4]

    def first_steps(self) -> Int64Array:
        """The shortest input beyond which a model's price rises, per model, -1 where it never does; shape (models,)."""
        tiers = len(TIERS)
        steps = [self.above_tokens[self.first[n * tiers] : self.first[(n + 1) * tiers]] for n in range(len(self.known))]
        return np.array([min((step for step in of if step >= 0), default=-1) for of in map(np.ndarray.tolist, steps)])

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

    def price(self, usage: Usage, *, once: bool = False) -> Priced:
        """The cost of every call, in the order given. Pure integers; equal usage gives equal bytes.

        `once`: little will be priced after it, so that compiled code would take longer to load than it saves.
        """
        n = len(usage)
        columns = {}
        for name in _COLUMNS:
            array = getattr(usage, name)
            columns[name] = _ONE_UNKNOWN if array is None else _readonly(array, np.int64)
            if array is not None and len(array) != n:
                raise ValueError(f"usage.{name} has {len(array)} rows, usage.model has {n}")
        weight = _ONE_CALL if usage.weight_micro is None else _readonly(usage.weight_micro, np.int64)
        tier = _STANDARD if usage.tier is None else _readonly(usage.tier, np.int8)
        priced = PricedArrays(np.zeros((7, n), np.int64), np.zeros(n, np.int8), np.full(n, -1, np.int32))
        kernel = _kernel(once and int(np.count_nonzero(weight != 1_000_000)) <= _FEW_WEIGHTS)
        kernel(
            UsageArrays(_readonly(usage.model, np.int32), tier, weight, **columns),
            RateArrays(self.first, self.known, self.bounds, self.rates, self.flags, self.price_id, self.as_of_ms),
            priced,
        )
        names = ("total", "uncached_input", "cache_read", "cache_write", "output", "reasoning", "other")
        return Priced(
            **dict(zip(names, priced.pico_amounts, strict=True)), status=priced.status, price_id=priced.price_id
        )


def _kernel(once: bool) -> Callable[[UsageArrays, RateArrays, PricedArrays], None]:
    if once and "analysis.pricing.numba_kernel" not in sys.modules:
        from analysis.pricing import numpy_kernel

        return numpy_kernel.price_calls
    from analysis.pricing import numba_kernel  # numba: half a second of import that only much pricing needs

    return numba_kernel.price_calls


_COLUMNS = (
    "start_ms", "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning",
    "audio_input", "audio_output", "image_input", "image_output", "audio_cache_read", "image_cache_read",
    "web_search", *TOOLS, "search_context",
)  # fmt: skip
assert {f.name for f in fields(Usage)} == {*_COLUMNS, "model", "tier", "weight_micro"}
_ONE_UNKNOWN = np.array([UNKNOWN], np.int64)
_ONE_UNKNOWN.flags.writeable = False
_ONE_CALL = np.array([1_000_000], np.int64)
_ONE_CALL.flags.writeable = False
_STANDARD = np.array([0], np.int8)
_STANDARD.flags.writeable = False


def _fill(rates: Sequence[int | None]) -> tuple[list[int], int]:
    """Rates with gaps closed from the parent kind, and the bit mask of the kinds so closed.

    Reasoning at the output price is how every provider bills it, so it is not marked.
    """
    found = dict(zip(KINDS, rates, strict=True))
    mask = 0
    for kind, parent in PARENT.items():
        if found[kind] is None and found[parent] is not None:
            found[kind] = found[parent]
            if kind != "reasoning":
                mask |= 1 << KINDS.index(kind)
    return [-1 if found[kind] is None else int(found[kind] or 0) for kind in KINDS], mask


def _readonly(values: NDArray[np.generic], dtype: type[Scalar]) -> NDArray[Scalar]:
    """The values as a contiguous array that cannot be written: of one type for the kernel, wherever they come from.

    DuckDB's columns are read-only and others are not; compiled code would be made for every mixture of the two, and
    takes no tuple of arrays that mixes them.
    """
    view = np.ascontiguousarray(values, dtype).view()
    view.flags.writeable = False
    return view
