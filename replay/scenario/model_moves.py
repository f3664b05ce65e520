"""Which workloads would move to another model, and what each would save: one rule per workload, replayed by itself."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from analysis.formatting import money, named
from ingest.store.database import Store
from replay.advice.result_in_words import verdict
from replay.engine.run import StrategyResult, run
from replay.scenario.schema import NewModel
from replay.scenario.window import Window
from replay.strategy.schema import Rule, Strategy

MOST: Final = 8  # workloads, the dearest
MONTH: Final = 30.4375


@dataclass(frozen=True)
class Move:
    """One workload at another model. Dollars a month as in the window; the range is that of the answers' length."""

    model: str
    workload: str
    result: StrategyResult
    days: int

    @property
    def moves(self) -> bool:
        """Whether it saves and its quality passes."""
        return bool((self.result.saved_share or 0.0) > 0 and self.result.quality["verdict"] == "passes")

    def saved(self) -> tuple[float, float, float] | None:
        """Dollars a month: mid, low and high. None where no call has a price there."""
        one = self.result
        if not one.priced_calls or one.dollars == "refused":
            return None
        ends = (one.cost_pico, one.high_pico, one.low_pico)
        mid, low, high = ((one.baseline_pico - end) / 1e12 * MONTH / self.days for end in ends)
        return mid, low, high

    @property
    def sentence(self) -> str:
        """What the move would save, and what is known of its quality."""
        found = self.saved()
        if found is None:
            return f"{self.workload} to {self.model}: no price, so nothing can be said."
        mid, low, high = found
        ends = f" ({_usd(low)} to {_usd(high)})" if _usd(low) != _usd(high) else ""
        saves = f"saves {_usd(mid)} a month{ends}" if mid >= 0 else f"costs {_usd(-mid)} a month more"
        return f"{self.workload} to {self.model}: {saves}; quality {verdict(self.result)}."

    def to_json(self) -> dict[str, Any]:
        """Plain values; dollars a month as decimal strings."""
        found = self.saved()
        mid, low, high = (None, None, None) if found is None else (f"{usd:.2f}" for usd in found)
        return {
            "model": self.model, "workload": self.workload, "would_move": self.moves,
            "saved_usd_per_month": mid, "saved_low_usd_per_month": low, "saved_high_usd_per_month": high,
            "saved_share": self.result.saved_share, "quality": self.result.quality, "run_id": self.result.run_id,
        }  # fmt: skip


def moves(store: Store, window: Window, asked: NewModel) -> list[Move]:
    """The dearest workloads (agent and task) at the model, the largest saving first."""
    traffic = window.traffic
    chosen = window.of(asked)
    cost: dict[tuple[int, int], float] = {}
    pairs = zip(traffic.agent[chosen].tolist(), traffic.task[chosen].tolist(), window.usd[chosen].tolist(), strict=True)
    for agent, task, usd in pairs:
        cost[agent, task] = cost.get((agent, task), 0.0) + usd
    dearest = sorted(cost, key=lambda key: (-cost[key], key))[:MOST]
    strategies, names = [], []
    for agent, task in dearest:
        match = {**(asked.match or {}), "agent": traffic.agents[agent], "task": traffic.tasks[task]}
        name = " / ".join(dict.fromkeys(named(one) for one in (traffic.agents[agent], traffic.tasks[task])))
        rule = Rule(match=match, when=asked.when, model=asked.model)
        strategies.append(Strategy(name=f"{name} to {asked.model}", route=(rule,)))
        names.append(name)
    if not strategies:
        return []
    found = run(store, strategies, since=window.first, until=window.last)
    rows = [Move(asked.model, name, one, window.days) for name, one in zip(names, found.strategies, strict=True)]
    return sorted(rows, key=lambda row: (-(row.saved() or (0.0,))[0], row.workload))


def in_words(rows: list[Move], model: str) -> str:
    """Which workloads would move, in a sentence."""
    moving = [row for row in rows if row.moves]
    untold = [row for row in rows if row.result.quality["verdict"] == "unknown" and (row.result.saved_share or 0) > 0]
    saved = sum((row.saved() or (0.0,))[0] for row in moving)
    said = f"{len(moving)} of {len(rows)} workloads would move to {model}"
    said += f" and save {_usd(saved)} a month." if moving else "."
    if untold:
        could = sum((row.saved() or (0.0,))[0] for row in untold)
        said += f" {len(untold)} more would save {_usd(could)} if their quality held, which the log cannot say."
    return said


def _usd(amount: float) -> str:
    return money(Decimal(amount))
