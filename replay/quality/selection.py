"""What a model would have scored on calls that it was not given, from calls that it was: off-policy evaluation.

A router that sends easy questions to the cheap model makes the cheap model look good. The calls that a strategy moves
to a model (`moved`) are compared with the calls that the log gave to it and that the strategy would have moved too
(`controls`), weighted by the odds (1 - e) / e of being moved, where e is the probability with which the policy in
force chose that model. The estimate is augmented by an outcome model mu, fitted on other calls than those it is used
for, so that it holds where either e or mu does (doubly robust; Robins, Rotnitzky and Zhao 1994; Chernozhukov et al.
2018; Dudik et al. 2011):

    theta = sum over moved of w mu(x) / N + sum over controls of w (1 - e) / e (y - mu(x)) / N,   N = sum of w of moved

Its difference to the logged scores of the same moved calls is paired call by call. SNIPS (Swaminathan and Joachims
2015) stands beside it: the controls' mean score, weighted by their odds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis import formatting
from replay.quality.balance import one_sided, unbalanced, unevenly_scored
from replay.quality.intervals import Moments, clustered

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

LEAST_EFFECTIVE: Final = 30.0  # effective controls, below which nothing is said
RARE: Final = 0.01  # a call of a smaller propensity is one that the model is never given
MOST_RARE: Final = 0.02  # share of moved calls that may be so
LEARNED_ERROR: Final = 0.02  # of a mean by learned propensities that no number of calls removes (benchmarks.trust)
IMBALANCE: Final = 0.15  # of the controls' summed odds from the number of moved calls, beyond chance


@dataclass(frozen=True)
class Assignment:
    """How the log chose its models. `propensity` of the model that served, NaN where not logged; `random`: by chance.

    `reachable` tells which calls the strategy would have sent to the model that served them, had another one;
    `learner` makes estimates from texts and columns, or says why it cannot; `before` gives, by name, what was known of
    calls before they were sent, in which random calls of two models are alike (NaN where a call is not to be compared).
    """

    propensity: Floats
    random: Bools
    reachable: Callable[[], Bools]
    learner: Callable[[Int64], Learner | str]
    before: Callable[[Int64], Mapping[str, Floats]] = lambda _: {}
    memo: dict[object, Any] = field(default_factory=dict, repr=False)


class Learner(Protocol):
    """Cross-fitted estimates for some calls from what was known before they were sent."""

    def outcome(self, known: Bools, score: Floats) -> Floats:
        """The expected score of every call, fitted on the `known` ones of other folds."""

    def chance(self, chosen: Bools) -> Floats:
        """The probability of being among the `chosen`, fitted on other folds and calibrated."""


@dataclass(frozen=True)
class Overlap:
    """How far the controls speak for the moved calls. `rare`: share of moved calls that the model is never given."""

    moved: int
    controls: int
    effective: float
    rare: float | None
    largest_weight: float
    snips: float

    def to_json(self) -> dict[str, Any]:
        return {
            "moved": self.moved,
            "controls": self.controls,
            "effective_controls": round(self.effective, 1),
            "without_overlap": None if self.rare is None else round(self.rare, 6),
            "largest_weight": round(self.largest_weight, 6),
            "snips": round(self.snips, 6),
        }


@dataclass(frozen=True)
class OffPolicy:
    """The estimate for moved calls and how it was got; without moments `why` says what is missing."""

    kind: str  # randomised, propensity, learned, none
    moments: Moments | None = None
    overlap: Overlap | None = None
    why: str | None = None


@dataclass(frozen=True)
class Sample:
    """Scored rows (calls, or units that were scored once): which are controls; score, weight, unit, propensity.

    `propensity` is of the model that served, NaN where not logged; `call` the row's place in the traffic; `complete`
    says that in these rows a model other than the strategy's was always one of the moved calls' models, of which
    there are `models`. `before` are columns of what was known before the calls were sent.
    """

    control: Bools
    score: Floats
    weight: Floats
    unit: Int64
    call: Int64
    propensity: Floats
    random: Bools
    complete: bool
    models: int
    before: Mapping[str, Floats] = field(default_factory=dict)


def evaluate(sample: Sample, learner: Callable[[Int64], Learner | str], asked: Sample | None = None) -> OffPolicy:
    """The best estimate that the sample allows: chance alone chose, propensities are logged, or they can be learned.

    `asked` are all rows, those without a score too: its `score` is 1 where there is one, else 0. None: all have one.
    """
    failed: list[str] = []
    for kind, way in _WAYS.items():
        found = _by(kind, way, sample, learner, asked)
        if found is None:
            continue
        if found.moments is not None or kind == "propensity":
            return found  # where propensities are logged, what they say of overlap stands
        failed.append(found.why or "")
    return OffPolicy("none", why=failed[0] if failed else "no propensity is logged, and nothing to learn it from")


def _by(
    kind: str, way: Way, sample: Sample, learner: Callable[[Int64], Learner | str], asked: Sample | None
) -> OffPolicy | None:
    """The estimate by one way; without moments where the log contradicts the way; None where the way is not there."""
    made = way(sample, learner)
    if made is None or isinstance(made, str):
        return None if made is None else OffPolicy("none", why=made)
    part, chance = made
    found = _estimate(part, chance, learner, kind)
    why = None if asked is None else _partly_scored(part, asked, way(asked, learner), kind)
    if why is None and found.moments is not None and kind != "learned":
        names = unbalanced(part.before, part.control, _mass(part, chance)[0], part.unit)
        said = "chance alone chose" if kind == "randomised" else "the logged chances chose"
        why = f"the log says that {said}, but its calls differ in {' and '.join(names)}" if names else None
    return found if why is None else OffPolicy("none", None, found.overlap, why)


def _partly_scored(part: Sample, asked: Sample, every: tuple[Sample, Floats] | str | None, kind: str) -> str | None:
    """Why the scored rows do not speak for the others; None where they may."""
    if one_sided(part.score, asked.score):
        return (
            f"only the score {part.score[0]:g} was ever given, to some of the calls: which ones depends on the answer"
        )
    if not isinstance(every, tuple):
        return None
    whole, chance = every
    slack = LEARNED_ERROR if kind == "learned" else 0.0
    shares = unevenly_scored(whole.score, whole.control, _mass(whole, chance)[0], whole.unit, slack)
    if shares is None:
        return None
    its, these = map(formatting.share, shares)
    return f"{its} of its calls are scored and {these} of these: which ones may depend on the answer"


def _randomised(sample: Sample, _: Callable[[Int64], Learner | str]) -> tuple[Sample, Floats] | None:
    """Among calls that chance alone gave their model every call has the same propensity, or the logged one."""
    mine = sample.random
    if not (mine & sample.control).any() or not (mine & ~sample.control).any():
        return None
    part = _part(sample, mine)
    told = _told(part)
    share = float(part.weight[part.control].sum() / part.weight.sum())
    return part, np.full(len(part.score), share) if told is None else told


def _logged(sample: Sample, _: Callable[[Int64], Learner | str]) -> tuple[Sample, Floats] | None:
    told = _told(sample)
    return None if told is None else (sample, told)


def _told(sample: Sample) -> Floats | None:
    """The logged probability of the controls' model on every row; None where it is not known."""
    if not sample.complete or np.isnan(sample.propensity[sample.control]).any() or not sample.control.any():
        return None
    chance = np.where(sample.control, sample.propensity, np.nan)
    if sample.models == 1:  # of two models, the other one's
        chance = np.where(sample.control, chance, 1 - sample.propensity)
    return chance


def _learned(sample: Sample, learner: Callable[[Int64], Learner | str]) -> tuple[Sample, Floats] | str:
    if min(int(sample.control.sum()), int((~sample.control).sum())) < LEAST_EFFECTIVE:
        return "too few scored calls of both models to learn how the models were chosen"
    made = learner(sample.call)
    return made if isinstance(made, str) else (sample, made.chance(sample.control))


Way = Callable[[Sample, Callable[[Int64], Learner | str]], tuple[Sample, Floats] | str | None]
_WAYS: Final[dict[str, Way]] = {"randomised": _randomised, "propensity": _logged, "learned": _learned}


def _part(sample: Sample, mine: Bools) -> Sample:
    return Sample(
        sample.control[mine], sample.score[mine], sample.weight[mine], sample.unit[mine], sample.call[mine],
        sample.propensity[mine], sample.random[mine], sample.complete, sample.models,
        {name: values[mine] for name, values in sample.before.items()},
    )  # fmt: skip


def _mass(sample: Sample, chance: Floats) -> tuple[Floats, Floats]:
    """What each row weighs on its side, and of it the controls' part: weight times odds of being moved."""
    odds = np.where(sample.control, (1 - chance) / np.where(sample.control, chance, 1.0), 0.0)
    pull = sample.weight * odds
    return np.where(sample.control, pull, sample.weight), pull


def _estimate(sample: Sample, chance: Floats, learner: Callable[[Int64], Learner | str], kind: str) -> OffPolicy:
    """The augmented estimate where overlap holds. `chance` is NaN on moved rows where it is not known."""
    control, moved = sample.control, ~sample.control
    mass, pull = _mass(sample, chance)
    whole = float(sample.weight[moved].sum())
    total = float(pull.sum())
    effective = total * total / float(pull @ pull) if total > 0 else 0.0
    known = ~np.isnan(chance[moved])
    rare = float(sample.weight[moved] @ (chance[moved] < RARE)) / whole if known.all() else None
    snips = float(pull @ sample.score) / total if total > 0 else float("nan")
    overlap = Overlap(
        int(moved.sum()), int(control.sum()), effective, rare, float(pull.max()) / total if total > 0 else 1.0, snips
    )
    spread = float(np.sqrt(pull @ pull + sample.weight[moved] @ sample.weight[moved])) / whole
    off = abs(total / whole - 1)
    if rare is not None and rare > MOST_RARE:
        return OffPolicy(
            "none", None, overlap, f"the policy in force never gives {formatting.share(rare)} of these calls that model"
        )
    if effective < LEAST_EFFECTIVE:
        return OffPolicy("none", None, overlap, f"its scored calls of that kind weigh as {effective:.0f}, too few")
    if off > IMBALANCE and off > 3.5 * spread:
        return OffPolicy("none", None, overlap, "the weighted calls of that model do not add up to these calls")
    mu = _outcome(sample, learner)
    theta = float((sample.weight * mu)[moved].sum() + (pull * (sample.score - mu)).sum()) / whole
    logged = float((sample.weight * sample.score)[moved].sum()) / whole
    kept = mass > 0
    scale = float(mass.sum()) / whole
    served_value = theta + scale * np.where(moved, mu - theta, sample.score - mu)
    logged_value = logged + scale * np.where(moved, sample.score - logged, 0.0)
    moments = clustered(served_value[kept], logged_value[kept], sample.unit[kept], mass[kept], binary=False)
    more = moments.n * LEARNED_ERROR**2 if kind == "learned" else 0.0
    freedom = min(moments.degrees, effective - 1)
    return OffPolicy(kind, replace(moments, freedom=freedom, var_served=moments.var_served + more), overlap)


def _outcome(sample: Sample, learner: Callable[[Int64], Learner | str]) -> Floats:
    """The expected score under the controls' model; their mean where there is nothing to learn from."""
    made = learner(sample.call)
    if isinstance(made, str):
        return np.full(len(sample.score), float(sample.score[sample.control].mean()))
    return made.outcome(sample.control, sample.score)
