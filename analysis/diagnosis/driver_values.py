"""What a driver's factor was in its segment, before and after."""

from __future__ import annotations

from typing import Final

from analysis.array_types import Float64Array, Int64Array
from analysis.attribution.baseline_comparison import Comparison
from analysis.attribution.factors import MEASURES, NEW_SEGMENT, VANISHED_SEGMENT, Cells, States
from analysis.attribution.shapley_drivers import Driver


def values(compared: Comparison, state: States, driver: Driver) -> tuple[float | None, float | None, str, str | None]:
    """The factor's value before and after in the driver's segment, its unit, and what moved inside it."""
    k, factor = driver.segment, driver.factor
    cells = compared.cells
    mine = cells.within(k)
    if factor in (NEW_SEGMENT, VANISHED_SEGMENT):
        return cells.totals[0][0][k], cells.totals[1][0][k], "calls", None
    if factor == "volume":
        return float(state.requests[0, k]), float(state.requests[1, k]), compared.unit[k], None
    if factor == "calls_per_request":
        before, after = (float(v) for v in state.calls_per_request[:, k])
        return before, after, f"calls per {compared.unit[k].rstrip('s')}", None
    if factor in ("model_mix", "batch_share"):
        key = cells.model[mine] if factor == "model_mix" else cells.tier[mine]
        shares = [_shares(key, cells.of(side, "calls")[mine]) for side in (0, 1)]
        top = max(shares[1], key=lambda name: (shares[1][name] - shares[0][name], -name))
        label = compared.models[top] if factor == "model_mix" else compared.tiers[top]
        return shares[0][top], shares[1][top], "share of calls", label or "(no model)"
    if factor == "price":
        rates = [_unit_price(compared, mine, side) for side in (0, 1)]
        return rates[0], rates[1], "usd per million tokens", None
    return _measure(cells, k, 0, factor), _measure(cells, k, 1, factor), _unit(factor), None


def _shares(key: Int64Array, calls: Float64Array) -> dict[int, float]:
    sums: dict[int, float] = {}
    for name, n in zip(key.tolist(), calls.tolist(), strict=True):
        sums[name] = sums.get(name, 0.0) + n
    total = sum(sums.values())
    return {name: sums[name] / total if total else 0.0 for name in sorted(sums)}


def _unit(factor: str) -> str:
    if factor in ("cache_read_share", "cache_write_share"):
        return "share of input tokens"
    return "usd per call" if factor == "other" else "tokens per call"


def _rows(*measures: str) -> list[int]:
    return [MEASURES.index(name) for name in measures]


_INPUT: Final = _rows("uncached", "read", "write")
_CALLS: Final = _rows("calls")
_RATIOS: Final = {
    "input_tokens": (_INPUT, _CALLS),
    "cache_read_share": (_rows("read"), _INPUT),
    "cache_write_share": (_rows("write"), _INPUT),
    "output_tokens": (_rows("output"), _CALLS),
    "reasoning_tokens": (_rows("reasoning"), _CALLS),
    "other": (_rows("other_usd"), _CALLS),
}


def _measure(cells: Cells, k: int, side: int, factor: str) -> float | None:
    totals = cells.totals[side]
    top, bottom = _RATIOS[factor]
    amount, base = sum([totals[i][k] for i in top]), sum([totals[i][k] for i in bottom])
    return (amount / 1e12 if factor == "other" else amount) / base if base else None


def _unit_price(compared: Comparison, mine: slice, side: int) -> float | None:
    cells = compared.cells
    usd = sum(cells.of(side, f"{n}_usd")[mine].sum() for n in ("uncached", "read", "write", "output", "reasoning"))
    tokens = sum(cells.of(side, n)[mine].sum() for n in ("uncached", "read", "write", "output", "reasoning"))
    return float(usd / tokens / 1e6) if tokens else None
