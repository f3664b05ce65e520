"""Which of several strategies to name first, and what is said of one; of the entries of `hindcast replay --json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from analysis.formatting import count, money, share


def recommended(results: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the cheapest strategy that passes its quality floor; if none passes, of the cheapest of all.

    One that moves calls to a model without a price comes
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


def costs(entry: Mapping[str, Any], a_day: str) -> str:
    """What it would have cost, against the logged cost of the very same calls."""
    if entry["cost_usd"] is None:
        return f"{entry['name']}: none of the calls has a price under it, so what it would have cost cannot be said"
    cost, logged = (money(Decimal(entry[name])) for name in ("usd_per_day", "baseline_usd_per_day"))
    change = share(-(entry["saved_share"] or 0.0), sign=True)
    lost = entry["newly_unpriced_calls"]
    of = f" without the {count(lost, 'call')} that would have no price" if lost else ""
    return f"{entry['name']} would have cost {cost}{a_day} instead of {logged} ({change}){of}"


def verdict(quality: Mapping[str, Any]) -> str:
    """`passes 0.95`, `fails 0.95` or `unknown`."""
    said, floor = quality["verdict"], quality.get("floor")
    return f"{said} {floor:.2f}" if floor is not None and said != "unknown" else str(said)
