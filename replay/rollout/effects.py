"""An estimated effect of a rollout on one measure, and which of several effects may be claimed together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ALPHA: Final = 0.05
POWER: Final = 0.80


@dataclass(frozen=True)
class Estimate:
    """The mean with the rollout minus the mean without it, per unit, in the measure's own scale.

    `low` and `high` bound it at 95 %; `p_value` is two-sided; `detectable` is the smallest effect, of either sign, that
    would have been claimed with a probability of 80 % (MDE).
    """

    effect: float
    error: float
    low: float
    high: float
    p_value: float
    detectable: float
    without: float
    within: float  # the mean that was seen under the rollout
    groups: int  # clusters, or days

    @property
    def relative(self) -> float | None:
        """The effect as a share of the mean without the rollout."""
        return self.effect / self.without if self.without else None

    def relative_interval(self) -> tuple[float, float] | None:
        """The interval as shares of the mean without the rollout."""
        return (self.low / self.without, self.high / self.without) if self.without > 0 else None

    def to_json(self) -> dict[str, Any]:
        return {
            "without": self.without,
            "with": self.within,
            "effect": self.effect,
            "effect_low": self.low,
            "effect_high": self.high,
            "relative": self.relative,
            "p_value": self.p_value,
            "detectable": self.detectable,
            "groups": self.groups,
        }


def claimed(estimates: Mapping[str, Estimate], alpha: float = ALPHA) -> frozenset[str]:
    """The effects that may be claimed with at most `alpha` chance of any false claim among them (Holm 1979)."""
    found = set()
    for rank, (name, one) in enumerate(sorted(estimates.items(), key=lambda item: item[1].p_value)):
        if one.p_value > alpha / (len(estimates) - rank):
            break
        found.add(name)
    return frozenset(found)
