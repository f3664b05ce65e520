"""What a rollout changed per unit of demand, and demand itself, each with its error and what else it could be.

With a holdback the arms are compared at the same time; with an untouched segment, the two before and after; else the
days after with the days before. Several effects are claimed together under one error rate (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from replay.evaluation.comparison import mixed_arms, off_plan, unfair_scores
from replay.evaluation.unit_table import CONTROL, TREATED, UnitTable
from replay.rollout import arms, daily_series
from replay.rollout.effects import Estimate, claimed

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

Design = Literal["holdback", "difference in differences", "interrupted time series"]

COST: Final = "cost"
CALLS: Final = "calls"
ANSWER: Final = "answer tokens"
QUALITY: Final = "quality"
DEMAND: Final = "demand"
LASTING: Final = 0.95  # of the units end within so many days, which the days near an edge are short of
MOST_DAYS: Final = 0.5  # of the days between the first and the last have units, for a series
STEADY: Final = 0.001  # chance below which the share of treated is taken to have changed from day to day
SUSPECT: Final = 0.10  # chance below which a rise that is not claimed is said all the same, as a suspicion
SUSPECT_SHARE: Final = 0.10
PLACEBO_LIMIT: Final = 0.25  # of the placebo dates may look like an effect, before nothing is claimed


@dataclass(frozen=True)
class Effect:
    """One measure's effect. Of `placebo_dates` before the rollout, `placebo_claims` look like an effect too."""

    measure: str
    estimate: Estimate
    claimed: bool
    placebo_dates: int = 0
    placebo_claims: int = 0

    @property
    def doubtful(self) -> bool:
        """Whether days on which nothing was rolled out show as much too often."""
        return self.placebo_dates >= 4 and self.placebo_claims > PLACEBO_LIMIT * self.placebo_dates

    def to_json(self) -> dict[str, Any]:
        return {
            "measure": self.measure,
            **self.estimate.to_json(),
            "claimed": self.claimed,
            "placebo_dates": self.placebo_dates,
            "placebo_claims": self.placebo_claims,
        }


@dataclass(frozen=True)
class Effects:
    """The effects by measure, how they were estimated, and what the estimate takes for granted.

    `unfair` says why no effect on quality is told though units are scored, `void` why none is claimed at all.
    """

    design: Design
    assumes: str
    effects: Mapping[str, Effect]
    unfair: str | None = None
    void: str | None = None

    def get(self, measure: str) -> Effect | None:
        """The effect on a measure; None where it was not observed."""
        return self.effects.get(measure)

    @property
    def rebound(self) -> Effect | None:
        """More calls, or longer answers, per unit than without the rollout: the larger of the claimed ones."""
        risen = [
            found
            for name in (CALLS, ANSWER)
            if (found := self.effects.get(name)) and found.claimed and found.estimate.effect > 0
        ]
        return max(risen, key=lambda one: one.estimate.relative or 0.0, default=None)

    @property
    def suspicion(self) -> Effect | None:
        """More calls per unit, by a tenth or more, which is likely but not claimed; None with a rebound."""
        found = self.effects.get(CALLS)
        if found is None or self.void or self.rebound or found.claimed or found.estimate.p_value > SUSPECT:
            return None
        return found if (found.estimate.relative or 0.0) >= SUSPECT_SHARE else None


def measures(table: UnitTable) -> dict[str, tuple[Floats, Floats]]:
    """By name: numerator and denominator of each unit; both zero where the unit does not know it."""
    ones = np.ones(len(table))
    pairs = {
        COST: (table.cost, ones),
        CALLS: (table.calls, ones),
        ANSWER: (table.output_tokens, table.answered),
        QUALITY: (table.score, ones),
    }
    found = {}
    for name, (value, size) in pairs.items():
        known = np.isfinite(value)
        if known.any():
            found[name] = np.where(known, value, 0.0), np.where(known, size, 0.0)
    return found


def estimate(
    table: UnitTable,
    rollout: int,
    whole: tuple[int, int],
    *,
    control: Bools | None = None,
    planned: float | None = None,
) -> Effects:
    """The effects of the rollout on day `rollout` (since 1970-01-01).

    `whole` is the first and last whole day, both inclusive. `control` marks the units of an untouched segment;
    `planned` is the share that was to be treated. None where the units have no arm of their own.
    """
    if mixed_arms(table, rollout):
        return Effects("holdback", "a unit has one arm", {})
    # a unit that lasts days is cut by the rollout or by the log's end: begun too near, only the short ones are whole
    lasts = int(np.quantile(table.last_day - table.day, LASTING)) if len(table) else 0
    whole = whole[0] + lasts, whole[1] - lasts
    inside = ~table.spans & ((table.day < rollout - lasts) | (table.day >= rollout))
    if lasts:
        inside &= table.day <= whole[1]
    after = table.day >= rollout
    drawn = inside & after & (table.arm >= CONTROL)
    if drawn.any() and min((table.arm[drawn] == side).sum() for side in (CONTROL, TREATED)) >= 2:
        return _holdback(table.rows(drawn), table.rows(inside & ~after), planned)
    days = inside & (table.day >= whole[0]) & (table.day <= whole[1])
    span = np.arange(whole[0], whole[1] + 1)
    if control is not None:
        return _differences(table.rows(days & ~control), table.rows(days & control), rollout, span)
    return _interrupted(table.rows(days), rollout, span)


def _holdback(now: UnitTable, earlier: UnitTable, planned: float | None) -> Effects:
    treated = now.arm == TREATED
    weight = _by_day(now.day, treated)
    ramped = weight is not None
    void = off_plan(now, planned) if planned is not None and not ramped else None
    if weight is not None:
        now, treated, weight = now.rows(weight > 0), treated[weight > 0], weight[weight > 0]
    unfair = unfair_scores(now.score, treated, now.cluster, weight)
    if unfair:
        now = _unscored(now)
    before = measures(earlier)
    found = {}
    for name, (value, size) in measures(now).items():
        known = _expected(now, earlier, *before[name]) if name in before else None
        if weight is not None:
            value, size = value * weight, size * weight
        one = arms.difference(value, size, treated, now.cluster, known)
        if one is not None:
            found[name] = one
    clusters, place = np.unique(now.cluster, return_index=True)
    if len(clusters) < len(now) and not ramped:  # several units of one draw: how many there are can differ too
        counts = np.bincount(np.searchsorted(clusters, now.cluster)).astype(np.float64)
        one = arms.difference(counts, np.ones(len(clusters)), treated[place], clusters)
        if one is not None:
            found[DEMAND] = one
    assumes = "who is held back is chance, and the held back do not feel the others"
    if ramped:
        assumes += "; the share of treated changed while it ran, so that each day is compared with itself"
    effects = _claimed(found, {})
    if void:
        effects = {name: replace(one, claimed=False) for name, one in effects.items()}
    return Effects("holdback", assumes, effects, unfair, void)


def _unscored(table: UnitTable) -> UnitTable:
    return replace(table, score=np.full(len(table), np.nan))


def _unfair_days(table: UnitTable, rollout: int) -> str | None:
    """As `unfair_scores`, of the days from the rollout on and the days before it that have scores at all."""
    mine = np.isin(table.day, table.day[np.isfinite(table.score)])
    return unfair_scores(table.score[mine], table.day[mine] >= rollout, table.day[mine])


def _by_day(day: NDArray[Any], treated: Bools) -> Floats | None:
    """Weights that give control the days of the treated, where their share changed (a ramp); None where it did not.

    Zero on days that have one arm only.
    """
    from scipy.special import chdtrc

    days, place = np.unique(day, return_inverse=True)
    mine = np.bincount(place[treated], minlength=len(days)).astype(np.float64)
    other = np.bincount(place[~treated], minlength=len(days)).astype(np.float64)
    share = mine.sum() / len(day)
    expected = np.stack([(mine + other) * share, (mine + other) * (1 - share)])
    steady = float(((np.stack([mine, other]) - expected) ** 2 / np.maximum(expected, 1e-9)).sum())
    if len(days) < 2 or chdtrc(len(days) - 1, steady) >= STEADY:
        return None
    both = (mine > 0) & (other > 0)
    if not both.any():
        return None
    weight = np.where(both, mine / np.maximum(other, 1), 0.0)
    return np.asarray(np.where(treated, both[place].astype(np.float64), weight[place]), np.float64)


def _expected(now: UnitTable, earlier: UnitTable, value: Floats, size: Floats) -> Floats:
    """What each unit was expected to be: its own draw's mean before the rollout, else its segment's, else the mean."""
    overall = value.sum() / size.sum() if size.sum() else 0.0
    result = np.full(len(now), overall)
    for key, own in ((earlier.segment, now.segment), (earlier.cluster, now.cluster)):
        keys, place = np.unique(key, return_inverse=True)
        top, bottom = np.bincount(place, value, len(keys)), np.bincount(place, size, len(keys))
        at = np.minimum(np.searchsorted(keys, own), max(len(keys) - 1, 0))
        if not len(keys):
            continue
        there = (keys[at] == own) & (bottom[at] > 0)
        result = np.where(there, top[at] / np.where(bottom[at] > 0, bottom[at], 1), result)
    return np.asarray(result, np.float64)


def _differences(treated: UnitTable, control: UnitTable, rollout: int, span: NDArray[Any]) -> Effects:
    unfair = _unfair_days(treated, rollout) or _unfair_days(control, rollout)
    if unfair:
        treated, control = _unscored(treated), _unscored(control)
    series, scale = {}, {}
    mine, other = _series(treated, span), _series(control, span)
    for name in mine.keys() & other.keys():
        both = daily_series.against(mine[name], other[name], rollout)
        if both is not None:
            series[name] = both
            scale[name] = mine[name]
    found, placebos = _steps(series, rollout, len(span), trend=False)
    for name, one in found.items():
        own = scale[name]
        before = own.day < rollout
        unit = float(np.average(own.value[before], weights=own.weight[before]))
        within = float(np.average(own.value[~before], weights=own.weight[~before]))
        found[name] = _scaled(one, unit, within)
    assumes = "without the rollout both segments had moved by the same share"
    return Effects("difference in differences", assumes, _claimed(found, placebos), unfair)


def _interrupted(table: UnitTable, rollout: int, span: NDArray[Any]) -> Effects:
    unfair = _unfair_days(table, rollout)
    found, placebos = _steps(_series(_unscored(table) if unfair else table, span), rollout, len(span), trend=True)
    _, allowed = daily_series.design(span, rollout, trend=True)
    beside = f" beside {' and '.join(allowed)}" if allowed else ""
    assumes = f"nothing but the rollout changed on that day{beside}"
    return Effects("interrupted time series", assumes, _claimed(found, placebos), unfair)


def _series(table: UnitTable, span: NDArray[Any]) -> dict[str, daily_series.Series]:
    found = {name: daily_series.ratio(table.day, value, size) for name, (value, size) in measures(table).items()}
    if len(np.unique(table.day)) >= MOST_DAYS * len(span):
        count = np.bincount(table.day - span[0], minlength=len(span)).astype(np.float64)
        found[DEMAND] = daily_series.Series(span.astype(np.int64), count, np.ones(len(span)))
    return found


def _steps(
    series: Mapping[str, daily_series.Series], rollout: int, days: int, *, trend: bool
) -> tuple[dict[str, Estimate], dict[str, tuple[int, int]]]:
    found: dict[str, Estimate] = {}
    placebos: dict[str, tuple[int, int]] = {}
    for name in sorted(series):
        if len(series[name].day) < MOST_DAYS * days:
            continue  # a line through a few days far apart says nothing
        one = daily_series.step(series[name], rollout, trend=trend)
        if one is not None and (one.without > 0 or not trend):  # a mean below zero is no mean of any of these
            found[name] = one
            tried = [other.p_value <= 0.05 for _, other in daily_series.placebos(series[name], rollout, trend=trend)]
            placebos[name] = len(tried), sum(tried)
    return found, placebos


def _scaled(one: Estimate, unit: float, within: float) -> Estimate:
    """An effect in multiples of `unit` as an effect in the measure's own scale."""
    return replace(
        one,
        effect=one.effect * unit, error=one.error * abs(unit), low=one.low * unit, high=one.high * unit,
        detectable=one.detectable * abs(unit), without=within - one.effect * unit, within=within,
    )  # fmt: skip


def _claimed(found: dict[str, Estimate], placebos: Mapping[str, tuple[int, int]]) -> dict[str, Effect]:
    sure = claimed(found)
    result = {}
    for name, one in found.items():
        effect = Effect(name, one, name in sure, *placebos.get(name, (0, 0)))
        result[name] = replace(effect, claimed=effect.claimed and not effect.doubtful)
    return result
