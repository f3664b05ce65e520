"""Which of several replayed strategies to recommend."""

from __future__ import annotations

from collections.abc import Sequence

from replay.engine.run import StrategyResult


def recommended(results: Sequence[StrategyResult]) -> StrategyResult | None:
    """The cheapest strategy that passes its quality floor; if none passes, the cheapest of all; None of no results.

    A strategy that moves calls to a model without a price comes after those that do not: its cost is of fewer calls,
    so it is ranked by what it saves on them. Strategies without any priced call, or whose dollars the log
    refuses, come last.
    """
    passing = [result for result in results if _passes(result)]
    return min(passing or results, key=_rank, default=None)


def _passes(result: StrategyResult) -> bool:
    """Declares a stage, holds its quality floor, and has a cost."""
    return bool(result.quality["verdict"] == "passes" and result.savings_pico and _told(result))


def _told(result: StrategyResult) -> bool:
    """Some call has a price, and what is simulated reproduces the log."""
    return bool(result.priced_calls and result.dollars != "refused")


def _rank(result: StrategyResult) -> tuple[bool, bool, int, str]:
    if not _told(result):
        return True, True, 0, result.name
    partly = result.newly_unpriced > 0
    return False, partly, result.cost_pico - result.baseline_pico if partly else result.cost_pico, result.name
