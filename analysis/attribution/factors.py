"""What can move a cost inside a segment, and what the cost would be with any of it at its baseline value.

A segment (agent and task by default) makes N requests of A calls each. A share X of its calls goes to each model, a
share G of those is answered by a gateway's own cache, a share B of the rest runs at each service tier; a call reads
T input tokens (h of them from the provider's cache, w written to it), writes O visible and R reasoning tokens, and
pays u for anything else:

    C = N A sum_cell X G B [ T (1-h-w) p_in + T h p_read + T w p_write + O p_out + R p_reason + u ]

Every quantity is a ratio of sums, so the formula gives back the ledger's dollars of either side exactly.
A cell is (segment, model, tier, gateway hit). Money is float pico-dollars here; `drivers` makes it exact again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from analysis.array_types import BoolArray, Float64Array, Int64Array

VOLUME: Final = "volume"
CALLS_PER_REQUEST: Final = "calls_per_request"
NEW_SEGMENT: Final = "new_segment"
VANISHED_SEGMENT: Final = "vanished_segment"
# the players of the game, in the order that breaks ties
FACTORS: Final = (
    VOLUME, CALLS_PER_REQUEST, "model_mix", "input_tokens", "cache_read_share", "cache_write_share",
    "output_tokens", "reasoning_tokens", "batch_share", "price", "other",
)  # fmt: skip
MEASURES: Final = (
    "calls", "uncached", "read", "write", "output", "reasoning",
    "uncached_usd", "read_usd", "write_usd", "output_usd", "reasoning_usd", "other_usd",
)  # fmt: skip
_AT: Final = {name: i for i, name in enumerate(MEASURES)}
# (tokens, dollars, the factor that owns the unit price while the price list itself stands still)
_RATES: Final = (
    ("uncached", "uncached_usd", "input_tokens"),
    ("read", "read_usd", "cache_read_share"),
    ("write", "write_usd", "cache_write_share"),
    ("output", "output_usd", "output_tokens"),
    ("reasoning", "reasoning_usd", "reasoning_tokens"),
)


@dataclass(frozen=True)
class Cells:
    """Both sides of a comparison, cell by cell: side 0 is the baseline day, side 1 the day itself.

    `sums[side]` has shape (MEASURES, cells); dollars are pico-dollars. `requests` has shape (2, segments) and is NaN
    where requests or sessions cannot be told apart: then every call counts as a request of its own.
    """

    segment: Int64Array
    model: Int64Array
    tier: Int64Array
    hit: BoolArray
    sums: tuple[Float64Array, Float64Array]
    repriced: BoolArray  # the price list of this cell differs between the sides
    segments: int
    requests: Float64Array

    def of(self, side: int, measure: str) -> Float64Array:
        """The sums of one of MEASURES on a side, shape (cells,)."""
        return self.sums[side][_AT[measure]]

    @cached_property
    def _first(self) -> list[int]:
        return np.searchsorted(self.segment, np.arange(self.segments + 1)).tolist()

    @cached_property
    def totals(self) -> tuple[list[list[float]], list[list[float]]]:
        """Per side and measure the sum of each segment."""
        first, second = ([np.bincount(self.segment, row, self.segments).tolist() for row in side] for side in self.sums)
        return first, second

    def within(self, segment: int) -> slice:
        """The cells of a segment: they stand in its order."""
        return slice(self._first[segment], self._first[segment + 1])


@dataclass(frozen=True)
class States:
    """The factor values of each cell on both sides; every array has shape (2, cells), `requests` (2, segments)."""

    requests: Float64Array
    calls_per_request: Float64Array
    model: Float64Array  # X
    hit: Float64Array  # G
    tier: Float64Array  # B
    input: Float64Array  # T
    read: Float64Array  # h
    write: Float64Array  # w
    output: Float64Array
    reasoning: Float64Array
    other: Float64Array
    rates: Float64Array  # (5, 2, cells), by _RATES
    repriced: BoolArray
    segment: Int64Array
    segments: int


def _grouped(key: Int64Array, values: Float64Array) -> Float64Array:
    """Each cell's group total."""
    _, group = np.unique(key, return_inverse=True)
    return np.asarray(np.bincount(group, values)[group], np.float64)


def _ratio(top: Float64Array, bottom: Float64Array) -> Float64Array:
    """top / bottom, NaN where the bottom is 0."""
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


def _keep(*candidates: Float64Array) -> Float64Array:
    """The first candidate that is known, cell by cell; 0 where none is."""
    found = candidates[0].copy()
    for candidate in candidates[1:]:
        found = np.where(np.isnan(found), candidate, found)
    return np.nan_to_num(found, nan=0.0)


def states(cells: Cells) -> States:
    """Factor values of both sides. A cell that is missing on a side borrows, in this order: the segment's same model,
    the segment, the other side; so a new model inside a segment starts from the segment's own token counts and cache
    share, and a price that nobody paid yet is the one paid later."""
    k = cells.segment
    km = k * (int(cells.model.max(initial=0)) + 1) + cells.model
    kmg = km * 2 + cells.hit
    kind = ((cells.model * (int(cells.tier.max(initial=0)) + 1)) + cells.tier) * 2 + cells.hit

    def per_call(measure: Float64Array, calls: Float64Array) -> Float64Array:
        return _ratio(measure, calls)

    shares: dict[str, list[Float64Array]] = {"model": [], "hit": [], "tier": []}
    per: dict[str, list[Float64Array]] = {
        name: [] for name in ("input", "read", "write", "output", "reasoning", "other")
    }
    totals = []
    for side in (0, 1):
        calls = cells.of(side, "calls")
        in_k, in_km, in_kmg = _grouped(k, calls), _grouped(km, calls), _grouped(kmg, calls)
        totals.append(np.bincount(k, calls, cells.segments))
        shares["model"].append(_ratio(in_km, in_k))
        shares["hit"].append(_ratio(in_kmg, in_km))
        shares["tier"].append(_ratio(calls, in_kmg))
        total_in = cells.of(side, "uncached") + cells.of(side, "read") + cells.of(side, "write")
        for name, top, bottom in (
            ("input", total_in, calls),
            ("read", cells.of(side, "read"), total_in),
            ("write", cells.of(side, "write"), total_in),
            ("output", cells.of(side, "output"), calls),
            ("reasoning", cells.of(side, "reasoning"), calls),
            ("other", cells.of(side, "other_usd"), calls),
        ):
            levels = [per_call(top, bottom)]
            for key in (kmg, km, k):
                levels.append(_ratio(_grouped(key, top), _grouped(key, bottom)))
            # a share of nothing says nothing about the side, and a fee belongs to the cell that charged it
            per[name].append(levels[0] if name == "other" else _first(levels))
    both = {name: np.array([_keep(x[0], x[1]), _keep(x[1], x[0])]) for name, x in (shares | per).items()}
    requests: Float64Array = np.array(totals, np.float64)
    per_request = np.ones_like(requests)
    known = ~np.isnan(cells.requests).any(axis=0) & (cells.requests > 0).all(axis=0)
    per_request[:, known] = requests[:, known] / cells.requests[:, known]
    requests[:, known] = cells.requests[:, known]
    return States(
        requests=requests,
        calls_per_request=per_request,
        **both,
        rates=_rates(cells, kind),
        repriced=cells.repriced,
        segment=k,
        segments=cells.segments,
    )


def _first(levels: list[Float64Array]) -> Float64Array:
    found = levels[0].copy()
    for level in levels[1:]:
        found = np.where(np.isnan(found), level, found)
    return found


def _rates(cells: Cells, kind: Int64Array) -> Float64Array:
    """Pico-dollars per token by component, side and cell: what was paid, else paid on the other side, else by the
    same model and tier in another segment, else for an uncached token (cache) or a visible one (reasoning)."""
    rates = np.zeros((len(_RATES), 2, len(kind)))
    for i, (tokens, usd, _) in enumerate(_RATES):
        own = [_ratio(cells.of(side, usd), cells.of(side, tokens)) for side in (0, 1)]
        kin = [_ratio(_grouped(kind, cells.of(side, usd)), _grouped(kind, cells.of(side, tokens))) for side in (0, 1)]
        for side in (0, 1):
            parent = rates[{1: 0, 2: 0, 4: 3}[i], side] if i in (1, 2, 4) else np.zeros(len(kind))
            rates[i, side] = _keep(own[side], own[1 - side], kin[side], kin[1 - side], parent)
    return rates


def cell_values(state: States, on: dict[str, BoolArray] | dict[str, bool], part: str) -> Float64Array:
    """Dollars per call that cells add, with the factors of `on` at the day's value and all others at baseline.

    `part` is one of input, output, reasoning, other: the parts add up, which keeps the games small.
    """

    def at(factor: str, values: Float64Array) -> Float64Array:
        return values[1] if on[factor] else values[0]

    def rate(index: int) -> Float64Array:
        values = state.rates[index]
        steady = at(_RATES[index][2], values)
        return np.where(state.repriced, at("price", values), steady)

    calls = at("model_mix", state.model) * at("cache_read_share", state.hit) * at("batch_share", state.tier)
    if part == "input":
        read, write = at("cache_read_share", state.read), at("cache_write_share", state.write)
        # read and write shares of different sides may pass 1 together; the formula stays linear and exact
        unit = (1 - read - write) * rate(0) + read * rate(1) + write * rate(2)
        return calls * at("input_tokens", state.input) * unit
    if part == "output":
        return calls * at("output_tokens", state.output) * rate(3)
    if part == "reasoning":
        return calls * at("reasoning_tokens", state.reasoning) * rate(4)
    return calls * at("other", state.other)


# the factors that can move each part, without volume and calls_per_request, which multiply them all
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "input": (
        "model_mix", "input_tokens", "cache_read_share", "cache_write_share", "batch_share", "price",
    ),
    "output": ("model_mix", "cache_read_share", "output_tokens", "batch_share", "price"),
    "reasoning": ("model_mix", "cache_read_share", "reasoning_tokens", "batch_share", "price"),
    "other": ("model_mix", "cache_read_share", "batch_share", "other"),
}  # fmt: skip


def segment_values(state: States, on: dict[str, bool], part: str) -> Float64Array:
    """Dollars per call of each segment, by part."""
    return np.asarray(np.bincount(state.segment, cell_values(state, on, part), state.segments), np.float64)
