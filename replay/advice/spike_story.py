"""The story of a spike in one piece: before, the day it began, why, and what other policies would have cost since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from analysis.diagnosis import document
from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.result import Diagnosis
from analysis.formatting import usd
from analysis.money import dollars, round_to_sum
from ingest.errors import InputError
from ingest.store.database import Store
from replay.engine.run import Replay, StrategyResult, mean_per_day, run
from replay.strategy.schema import Strategy


@dataclass(frozen=True)
class Story:
    """`before` and `after` are mean dollars a day over complete days; `replay` covers the days from the spike on."""

    before: Decimal | None
    spike_day: date
    diagnosis: Diagnosis
    replay: Replay
    days: tuple[date, ...]

    @property
    def after(self) -> Decimal | None:
        """Dollars a day of the level that stands out, the mean over its days."""
        return self.replay.per_day()

    def savings_per_day(self, result: StrategyResult) -> dict[str, Decimal]:
        """Dollars a day by stage; they sum, to the pico-dollar, to baseline minus result per day."""
        count = len(self.days)
        parts = [Fraction(amount, count) for amount in result.savings_pico.values()]
        whole = result.baseline_pico - result.cost_pico
        each = round_to_sum([*parts, Fraction(0)], round(Fraction(whole, count)))[:-1] if parts else []
        return {stage: dollars(amount) for stage, amount in zip(result.savings_pico, each, strict=True)}

    def to_json(self) -> dict[str, Any]:
        return {
            "before_usd_per_day": usd(self.before),
            "spike_day": self.spike_day.isoformat(),
            "spike_usd_per_day": usd(self.after),
            "diagnosis": document.to_json(self.diagnosis),
            "strategies": [
                {
                    "name": result.name,
                    "usd_per_day": usd(result.per_day()),
                    "saved_share": result.saved_share,
                    "hit_rate": result.hit_rate,
                    "savings": {stage: usd(amount) for stage, amount in self.savings_per_day(result).items()},
                    "quality": result.quality,
                    "run_id": result.run_id,
                    "limits": list(result.limits),
                }
                for result in self.replay.strategies
            ],
        }


def tell(store: Store, strategies: Sequence[Strategy], *, done: Callable[[str], None] | None = None) -> Story:
    """Find the spike, explain it, and replay the complete days from it on. Raises InputError if there is no spike."""
    newest = diagnose(store)
    first = newest.onset or next((run.first for run in newest.runs), None)
    if first is None:
        raise InputError("no day of this log stands out", remedy="Name one: hindcast diagnose --day YYYY-MM-DD")
    found = newest if first == newest.day else diagnose(store, day=first)
    whole = run(store, [])
    after = [day for day in whole.whole_days if day >= found.day]
    before = [day for day in whole.whole_days if day < found.day]
    if not after:
        raise InputError(f"the log covers no complete day from {found.day} on")
    replayed = run(store, strategies, since=after[0], until=after[-1], done=done)
    costs = {row.day: row.cost_pico for row in whole.daily}
    return Story(
        before=mean_per_day({day: costs.get(day, 0) for day in before}, before),
        spike_day=found.day,
        diagnosis=found,
        replay=replayed,
        days=tuple(after),
    )
