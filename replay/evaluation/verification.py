"""What `verify` found: the bill beside its forecast, what the rollout changed, and both in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from analysis.formatting import count, money, share, usd
from analysis.money import dollars
from replay.evaluation.drift import CALLS_PER, Drift
from replay.evaluation.rollout_effects import CALLS, COST, DEMAND, Effect, Effects
from replay.evaluation.rollout_monitor import Monitoring
from replay.rollout.effects import Estimate

FAILED_PART: Final = 0.1  # of a rise in calls that failed ones make up, above which it is said


@dataclass(frozen=True)
class Verification:
    """Forecast beside realised over the days from the rollout on, for the treated; and what the rollout changed.

    The drifts sum to realised minus forecast. `unit` is what demand is counted in. Units with a call without a price
    are left out of both; where that leaves no fair comparison, `obstacle` says why, there are no drifts, and what was
    realised is the least that the bill can be.
    """

    name: str
    rollout: date
    known_days: int
    days: int
    unit: str
    units_before: int
    units_after: int
    control_units: int  # after the rollout, in the holdback or in the untouched segment
    forecast_pico: int
    low_pico: int
    high_pico: int
    realised_pico: int
    billed_pico: int  # all calls of the treated that have a price
    obstacle: str | None
    left_out_units: int  # since the rollout, for want of a price
    unpriced_share: float  # of the calls of the treated since the rollout
    mixed: bool  # too many units had calls in both arms
    failed_calls: tuple[float, float]  # per unit: without the rollout (in control, else before), with it
    drifts: tuple[Drift, ...]
    effects: Effects
    notes: tuple[str, ...]
    monitoring: Monitoring | None = None

    @property
    def inside(self) -> bool | None:
        """Whether the bill is in the forecast's interval; None where the two cannot be compared."""
        if self.obstacle:
            return None
        return self.low_pico <= self.realised_pico <= self.high_pico

    @property
    def summary(self) -> str:
        """Whether the bill is as forecast, and the rebound if there is one, in a sentence."""
        forecast, low, high, realised = (
            money(dollars(amount)) for amount in (self.forecast_pico, self.low_pico, self.high_pico, self.realised_pico)
        )
        words = "as forecast" if self.inside else "not as forecast"
        billed = f"{'at least ' if self.unpriced_share else ''}{money(dollars(self.billed_pico))}"
        begin = f"{self.name} since {self.rollout}: {billed} in {count(self.days, 'day')}"
        if self.obstacle:
            return f"{begin}, which cannot be held against a forecast: {self.obstacle}{self._rebound('; ')}."
        if self.left_out_units:
            begin += f"; without {count(self.left_out_units, self.unit)} that have calls without a price {realised}"
        return f"{begin}, {words} ({forecast}, 90 % interval {low} to {high}){self._rebound(': ')}."

    def _rebound(self, mark: str) -> str:
        found = self.effects.rebound or self.effects.suspicion
        if found is None:
            return ""
        one = found.estimate
        calls = found.measure == CALLS
        what = f"{one.within:.4g} calls per {self.unit}" if calls else f"{one.within:,.0f} answer tokens"
        instead = f"{one.without:.4g}" if calls else f"{one.without:,.0f} per call"
        more = self.rebound_pico
        failed = self._failed(one) if calls else ""
        paid = f", {money(dollars(more), sign=True)}" if calls and more > 0 else ""
        change = f"{what} instead of {instead} ({share(one.relative, sign=True)}){failed}"
        if found.claimed:
            return f"{mark}a rebound, {change}{paid}"
        return f"{mark}perhaps a rebound, {change}, not yet told from chance"

    def _failed(self, one: Estimate) -> str:
        """How many of the calls of a rebound failed, where they are a part of it."""
        before, now = self.failed_calls
        return f", of which {now:.3g} failed instead of {before:.3g}" if now - before > FAILED_PART * one.effect else ""

    @property
    def rebound_pico(self) -> int:
        """What more calls per unit than before cost, of the difference to the forecast, in pico-dollars."""
        return sum(one.amount_pico for one in self.drifts if one.cause.startswith(CALLS_PER))

    @property
    def effect_summary(self) -> str:
        """What a unit costs now and without the rollout, in a sentence; or what is missing to say it."""
        found = self.effects.get(COST)
        if found is None and self.mixed:
            return (
                f"What the rollout changed per {self.unit} cannot be said: {self.obstacle}. Give each one arm: "
                f"hindcast rollout plan --draw {self.unit}"
            )
        if found is None and self.unpriced_share:
            return (
                f"What the rollout changed of the cost per {self.unit} cannot be said: {share(self.unpriced_share)} of "
                "the calls since have no price. Find them: hindcast prices list --unpriced"
            )
        if found is None:
            return (
                f"What the rollout changed per {self.unit} cannot be said: it takes a holdback of two units or more in "
                "each arm, or seven whole days before and three after with few gaps. Plan one: hindcast rollout plan"
            )
        one = found.estimate
        bounds = one.relative_interval()
        interval = f", 95 % interval {share(bounds[0], sign=True)} to {share(bounds[1], sign=True)}" if bounds else ""
        verdict = (
            self._saved_words(found)
            if found.claimed
            else f"no effect can be claimed: {self.effects.void}"
            if self.effects.void
            else f"no effect can be claimed, one of {share(_over(one.detectable, one.without))} would have been seen"
        )
        return (
            f"Per {self.unit} {_dollars(one.within)} instead of {_dollars(one.without)} without the rollout "
            f"({share(one.relative, sign=True)}{interval}): {verdict}."
        )

    def _saved_words(self, found: Effect) -> str:
        one = found.estimate
        saved, over = -one.effect * self.units_after, self._saved_in_all(one)
        words = f"{_change(saved)} over {count(self.units_after, self.unit)}"
        if over is None:
            return words
        demand = self.effects.effects[DEMAND].estimate
        more = f"{share(demand.relative, sign=True)} {self.unit}s"
        if self.effects.design == "holdback":
            return f"{_change(over)} over {count(self.units_after, self.unit)}, {more} against control among them"
        return f"between {_change(over)} and {words}: the {more} may be its doing, as where one became two, or may not"

    def _saved_in_all(self, one: Estimate) -> float | None:
        """Dollars saved if the rollout moved demand too; None where demand did not move, or not the other way."""
        demand = self.effects.get(DEMAND)
        if demand is None or not demand.claimed or not demand.estimate.relative:
            return None
        moved = demand.estimate.relative
        if moved <= -1 or moved * one.effect >= 0:
            return None
        return self.units_after * (one.without / (1 + moved) - one.within)

    def _saved(self, one: Estimate) -> dict[str, str | None]:
        low, mid, high = sorted(-each * self.units_after for each in (one.low, one.effect, one.high))
        over = self._saved_in_all(one)
        if over is not None:
            low, high = min(low, over), max(high, over)
        if over is not None and self.effects.design == "holdback":
            mid = over
        return {
            name: usd(Decimal(amount).quantize(Decimal("1e-12")))
            for name, amount in (("low", low), ("mid", mid), ("high", high))
        }

    def to_json(self) -> dict[str, Any]:
        cost = self.effects.get(COST)
        return {
            "name": self.name,
            "rollout": self.rollout.isoformat(),
            "known_days": self.known_days,
            "days": self.days,
            "unit": self.unit,
            "units_before": self.units_before,
            "units_after": self.units_after,
            "control_units": self.control_units,
            "forecast_usd": None if self.obstacle else usd(dollars(self.forecast_pico)),
            "forecast_low_usd": None if self.obstacle else usd(dollars(self.low_pico)),
            "forecast_high_usd": None if self.obstacle else usd(dollars(self.high_pico)),
            "realised_usd": usd(dollars(self.realised_pico)),
            "billed_usd": usd(dollars(self.billed_pico)),
            "unpriced_share": self.unpriced_share,
            "left_out_units": self.left_out_units,
            "not_compared": self.obstacle,
            "inside": self.inside,
            "rebound": self.effects.rebound.measure if self.effects.rebound else None,
            "rebound_usd": usd(dollars(self.rebound_pico)) if self.effects.rebound and self.rebound_pico > 0 else None,
            "drifts": [drift.to_json() for drift in self.drifts],
            "design": self.effects.design,
            "assumes": self.effects.assumes,
            "effects": [one.to_json() for one in self.effects.effects.values()],
            "saved_usd": self._saved(cost.estimate) if cost and not self.effects.void else None,
            "notes": list(self.notes),
            **({"monitoring": self.monitoring.to_json()} if self.monitoring else {}),
        }


def _change(saved: float) -> str:
    return f"{_dollars(abs(saved))} {'saved' if saved > 0 else 'lost'}"


def _dollars(amount: float) -> str:
    return money(Decimal(amount).quantize(Decimal("1e-12")))


def _over(top: float, bottom: float) -> float | None:
    return top / bottom if bottom else None
