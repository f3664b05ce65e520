"""What a gate found: met, not met, or that the log cannot say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from analysis.formatting import usd


@dataclass(frozen=True)
class GateResult:
    """One limit against what was measured.

    `name` is the same at each evaluation of the same gate. `passed` is None where the log cannot say, and `sentence`
    then tells why. `measured` and `limit` are in `unit` (usd, tokens, share, ms, days, score or usd_per_day), None
    where there is no such number. `runs_out` is when a budget is spent, or will be if the last week repeats.
    """

    name: str
    passed: bool | None
    measured: Decimal | None
    limit: Decimal | None
    unit: str
    sentence: str
    remedy: str | None = None
    runs_out: datetime | None = None

    @property
    def outcome(self) -> str:
        """`passed`, `failed` or `cannot_say`."""
        return "cannot_say" if self.passed is None else "passed" if self.passed else "failed"

    def to_json(self) -> dict[str, Any]:
        """Plain values: amounts as decimal strings, the time as ISO 8601 in UTC."""
        return {
            "name": self.name, "outcome": self.outcome, "measured": usd(self.measured), "limit": usd(self.limit),
            "unit": self.unit, "sentence": self.sentence, "remedy": self.remedy,
            "runs_out": self.runs_out.isoformat() if self.runs_out else None,
        }  # fmt: skip
