"""Runs of days that stand out: one odd day, a few, or a new level; newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from analysis.anomalies.detector import NEW_NORMAL, Judgement

DAY: Final = "day"
DAYS: Final = "days"
LEVEL: Final = "level"


@dataclass(frozen=True)
class FlaggedRun:
    """Days in a row (days without calls apart) flagged in the same direction.

    `kind`: `day` for one day alone, `level` where the days after the first stayed beyond its range, up to the newest
    day or for so long that they became the new normal; `days` for a few that ended. Amounts are the first day's, in the
    metric's unit.
    """

    first: date
    last: date
    days: int
    kind: str
    upward: bool
    actual: float
    expected: float
    days_ago: int  # from its last day to the newest judged one

    def to_json(self) -> dict[str, Any]:
        """Plain values: days as ISO dates, amounts of the first day as numbers."""
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "days": self.days,
            "kind": self.kind,
            "direction": "up" if self.upward else "down",
            "actual": round(self.actual, 6),
            "expected": round(self.expected, 6),
            "days_ago": self.days_ago,
        }


def flagged_runs(judged: Mapping[date, Judgement]) -> list[FlaggedRun]:
    """The runs among judged days, newest first."""
    runs: list[list[Judgement]] = []
    before: Judgement | None = None
    for day in sorted(judged):
        one = judged[day]
        if one.flagged:
            if before is not None and before.flagged and before.direction == one.direction:
                runs[-1].append(one)
            else:
                runs.append([one])
        before = one
    newest = max(judged, default=None)
    return [_of(run, newest) for run in reversed(runs) if newest is not None]


def _of(run: list[Judgement], newest: date) -> FlaggedRun:
    first, last = run[0], run[-1]
    lasting = len(run) >= NEW_NORMAL or (len(run) > 1 and last.day == newest)
    return FlaggedRun(
        first=first.day,
        last=last.day,
        days=len(run),
        kind=LEVEL if lasting else DAY if len(run) == 1 else DAYS,
        upward=first.direction > 0,
        actual=first.actual,
        expected=first.forecast or 0.0,
        days_ago=(newest - last.day).days,
    )
