"""Which of several strategies to name first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def recommended(results: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the cheapest strategy that passes its quality floor; if none passes, of the cheapest of all.

    `results` are the strategies of `hindcast replay --json`. One that moves calls to a model without a price comes
    after those that do not: its cost is of fewer calls, so it goes by what it saves on them. Without any cost, last.
    """
    passing = [place for place, entry in enumerate(results) if _passes(entry)]
    return min(passing or range(len(results)), key=lambda place: _rank(results[place]), default=None)


def _passes(entry: Mapping[str, Any]) -> bool:
    """Declares a stage, holds its floor, and has a cost."""
    return bool(entry["quality"]["verdict"] == "passes" and entry["savings"] and entry["cost_usd"] is not None)


def _rank(entry: Mapping[str, Any]) -> tuple[bool, bool, Decimal, str]:
    if entry["cost_usd"] is None:
        return True, True, Decimal(0), entry["name"]
    cost, lost = Decimal(entry["cost_usd"]), entry["newly_unpriced_calls"] > 0
    return False, lost, cost - Decimal(entry["baseline_cost_usd"]) if lost else cost, entry["name"]
