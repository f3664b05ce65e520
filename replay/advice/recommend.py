"""Which of several replayed strategies to recommend."""

from __future__ import annotations

from collections.abc import Sequence

from replay.engine.run import StrategyResult

ROUNDING = 1e-6  # of bounds in results


def recommended(results: Sequence[StrategyResult]) -> StrategyResult | None:
    """The cheapest strategy that passes the strictest quality floor among them; else the cheapest of all.

    None of no results. Floors of several files are not alike: all strategies are ranked under the highest one.
    A strategy that moves calls to a model without a price comes after those that do not: its cost is of fewer calls,
    so it is ranked by what it saves on them. Strategies without any priced call, or whose dollars the log
    refuses, come last.
    """
    floor = common_floor(results)
    passing = [result for result in results if _passes(result, floor)]
    return min(passing or results, key=_rank, default=None)


def common_floor(results: Sequence[StrategyResult]) -> float:
    """The strictest floor that a strategy with a stage asks for."""
    return max((float(result.quality["floor"]) for result in results if result.savings_pico), default=0.0)


def _passes(result: StrategyResult, floor: float) -> bool:
    """Declares a stage, changes something, holds its own limits and the common quality floor, and has a cost."""
    quality = result.quality
    holds = quality["verdict"] == "passes" and (
        float(quality["floor"]) >= floor or (quality["lower_90"] or 0.0) >= floor - ROUNDING
    )
    return bool(holds and result.savings_pico and _told(result) and not _too_slow(result))


def _too_slow(result: StrategyResult) -> bool:
    """The strategy limits its latency, and does not hold the limit for sure."""
    return result.latency is not None and result.latency.verdict in ("fails", "unknown")


def _told(result: StrategyResult) -> bool:
    """Some call has a price, and what is simulated reproduces the log."""
    return bool(result.priced_calls and result.dollars != "refused")


def _rank(result: StrategyResult) -> tuple[bool, bool, int, str]:
    if not _told(result):
        return True, True, 0, result.name
    partly = result.newly_unpriced > 0
    return False, partly, result.cost_pico - result.baseline_pico if partly else result.cost_pico, result.name
