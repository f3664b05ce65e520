"""The evidence on one cell of traffic: the best there is of a ladder, from paired scores down to public benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.quality import public_priors
from replay.quality.intervals import Moments, clustered, paired
from replay.quality.score_units import ScoreUnits
from replay.quality.scores import Priors, Scores
from replay.quality.scores import scores as scores_of
from replay.quality.selection import Assignment
from replay.strategy.quality_schema import Quality, QualityRow

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

MIN_SCORED: Final = 5  # fewer scored units (calls, where nothing else is said) say nothing about a cell
EVIDENCE: Final = {
    "kept": "same model, same content: equal to logged by declaration",
    "paired": "both models scored on the same calls of the cell",
    "paired_task": "both models scored on the same calls of the task",
    "randomised": "each model scored on calls that chance alone gave it",
    "propensity": "each model scored on calls of its own, weighted by the logged chance of getting it",
    "learned": "each model scored on calls of its own, weighted by a chance of getting it that the texts tell",
    "shadow": "both models scored by one judge on a sample of the calls",
    "table": "the strategy's or the user's own table",
    "merged": "both models scored, on other tasks of the same pair",
    "prior": "a public benchmark of other people's tasks: counts only where the file accepts it",
    "unpaired": "each model scored on calls that were chosen for it: compares the calls, so it counts for nothing",
    "none": "unknown",
}
NO_SCORES: Final = scores_of([], [], [])


@dataclass(frozen=True)
class Demand:
    """What happened to each call. Codes index `models` and `tasks`; `counted` marks the demand that is judged.

    `risky`: a lossy compressor, a masked key or a semantic hit may have changed the answer, and no score says how.
    """

    logged: Int32
    served: Int32
    task: Int32
    counted: Bools
    risky: Bools
    weight: Int64
    models: Sequence[str | None]
    tasks: Sequence[str | None]


@dataclass(frozen=True)
class Evidence:
    """Everything `assess` looks at: scores of the log and of shadow runs, what they belong to, how models were chosen.

    Without `units` each call stands for itself; without `assignment` nothing is known of how the models were chosen.
    """

    spec: Quality
    demand: Demand
    scores: Scores
    priors: Priors = field(default_factory=Priors)
    shadow: Scores = NO_SCORES
    units: ScoreUnits | None = None
    assignment: Assignment | None = None

    @cached_property
    def weights(self) -> Floats:
        """What each call weighs in a mean of scores."""
        n = len(self.demand.logged)
        return np.ones(n) if self.units is None else self.units.weights(np.ones(n, bool))

    def moments(self, calls: Int64, served: Floats, logged: Floats, *, same: bool = False) -> Moments:
        """Moments of scores of both models on these calls, clustered where calls do not stand for themselves."""
        if self.units is None:
            return paired(served, logged, same=same)
        return clustered(served, logged, self.units.unit[calls], self.weights[calls], same=same)

    @cached_property
    def _pairs(self) -> dict[tuple[bool, int, int], tuple[Int64, Floats, Floats]]:
        return {}

    def both(self, served: int, logged: int, *, shadow: bool = False) -> tuple[Int64, Floats, Floats]:
        """Calls with scores of both models, and the two scores. Where tasks were scored: a call of each task that both
        models did, and their means on it.
        """
        key = shadow, served, logged
        if key not in self._pairs:
            scores = self.shadow if shadow else self.scores
            sides = [_of_model(scores, model) for model in (served, logged)]
            places = sides[0][0], sides[1][0]
            if self.units is not None and self._by_task(shadow):
                sides = [_of_units(self.units.unit, *side) for side in sides]
                places = self.units.unit[sides[0][0]], self.units.unit[sides[1][0]]
            _, left, right = np.intersect1d(places[0], places[1], return_indices=True)
            self._pairs[key] = sides[1][0][right], sides[0][1][left], sides[1][1][right]
        return self._pairs[key]

    def within(self, calls: Int64, members: Int64) -> Bools:
        """Which of the calls are among the members, or of a unit of theirs where units are paired."""
        if self._by_task(False) and self.units is not None:
            return np.isin(self.units.unit[calls], self.units.unit[members])
        return np.isin(calls, members)

    def _by_task(self, shadow: bool) -> bool:
        return self.units is not None and self.units.scope == "task" and not shadow

    def count(self, calls: Int64) -> int:
        """How many units these calls are of."""
        return len(calls) if self.units is None else len(np.unique(self.units.unit[calls]))


@dataclass
class EvidenceLadder:
    """The evidence ladder of one cell. `own`: the score of each call's own answer."""

    evidence: Evidence
    task: int
    logged: int
    served: int
    own: Floats
    explanation: str | None = None

    def values(self, model: int) -> tuple[Int64, Floats]:
        """All scores of a model on the task, whichever calls they are of: a shadow run's if the log has few."""
        evidence = self.evidence
        for scores in (evidence.scores, evidence.shadow):
            calls, values = _of_model(scores, model)
            mine = evidence.demand.task[calls] == self.task
            if scores is evidence.shadow or evidence.count(calls[mine]) >= MIN_SCORED:
                break
        return calls[mine], values[mine]

    def mean_of(self, model: int) -> float | None:
        """The mean score of a model on the task."""
        calls, values = self.values(model)
        return float(np.average(values, weights=self.evidence.weights[calls])) if len(calls) else None

    def kept(self, members: Int64, size: float) -> Moments:
        """A call that keeps its model: served equals logged, whatever that is."""
        calls = members[~np.isnan(self.own[members])]
        values = self.own[calls]
        if self.evidence.count(calls) < min(MIN_SCORED, size):
            calls, values = self.values(self.logged)
        if self.evidence.count(calls) < min(MIN_SCORED, size):
            return Moments(0, 1.0, 1.0, 0.0, 0.0, 0.0, scored=False)
        return self.evidence.moments(calls, values, values, same=True)

    def pairs(self, members: Int64, size: float) -> tuple[Moments | None, str]:
        """Pairs in the log, of the cell or of its task: `none` with what few pairs of the cell say."""
        calls, served, logged = self.evidence.both(self.served, self.logged)
        inside = self.evidence.within(calls, members)
        count = self.evidence.count(calls[inside])
        found = self.evidence.moments(calls[inside], served[inside], logged[inside]) if count else None
        if count >= min(MIN_SCORED, size):
            return found, "paired"
        on_task = self.evidence.demand.task[calls] == self.task
        if self.evidence.count(calls[on_task]) >= MIN_SCORED:
            return self.evidence.moments(calls[on_task], served[on_task], logged[on_task]), "paired_task"
        return found, "none"

    def rest(self, members: Int64, size: float, thin: Moments | None) -> tuple[Moments | None, str]:
        """What is left where neither pairs nor the log's own choices tell; its name in EVIDENCE."""
        calls, served, logged = self.evidence.both(self.served, self.logged, shadow=True)
        for mine in (np.isin(calls, members), self.evidence.demand.task[calls] == self.task):
            if self.evidence.count(calls[mine]) >= min(MIN_SCORED, size):
                return self.evidence.moments(calls[mine], served[mine], logged[mine]), "shadow"
            if thin is None and mine.any():
                thin = self.evidence.moments(calls[mine], served[mine], logged[mine])
        told = self._table()
        if told is not None:
            return told, "table"
        if thin is not None:
            return thin, "none"
        prior = self._prior()
        if prior is not None:
            return prior, "prior"
        apart = min(self.evidence.count(self.values(model)[0]) for model in (self.served, self.logged))
        return None, "unpaired" if apart >= MIN_SCORED else "none"

    def _table(self) -> Moments | None:
        served, logged = self._rows("table")
        if served is None:
            return None
        if logged is not None:
            mean, variance = logged.quality, _binomial(logged.quality, logged.n)
        else:
            calls, values = self.values(self.logged)
            if self.evidence.count(calls) < MIN_SCORED:
                return None
            of_log = self.evidence.moments(calls, values, values)
            mean, variance = of_log.mean_logged, of_log.var_logged / of_log.n
        n = served.n or 1_000_000
        return Moments(n, served.quality, mean, _binomial(served.quality, served.n) * n, variance * n, 0.0, scored=True)

    def _rows(self, kind: str) -> tuple[QualityRow | None, QualityRow | None]:
        """The first rows of one kind of evidence on the serving and on the logged model."""
        task = self.evidence.demand.tasks[self.task] if self.evidence.demand.tasks else None
        spec = self.evidence.spec
        rows = (*spec.table, *self.evidence.priors.rows, *(public_priors.rows(spec.priors) if kind == "prior" else ()))
        served, logged = (
            next((r for r in rows if r.evidence == kind and _fits(r.task, task) and _fits(r.model, name)), None)
            for name in (self.evidence.demand.models[model] for model in (self.served, self.logged))
        )
        return served, logged

    def _prior(self) -> Moments | None:
        """What a public benchmark says of the two models, as if seen on few calls."""
        served, logged = self._rows("prior")
        if served is None or logged is None:
            return None
        self.explanation = public_priors.words(served, logged)
        return public_priors.moments(served, logged)


def _of_model(scores: Scores, model: int) -> tuple[Int64, Floats]:
    """The calls with a score of a model, and the scores."""
    mine = scores.model == model
    return scores.call[mine], scores.score[mine]


def _of_units(unit: Int64, calls: Int64, score: Floats) -> tuple[Int64, Floats]:
    """One call of each unit, and the unit's mean score."""
    _, first, place = np.unique(unit[calls], return_index=True, return_inverse=True)
    return calls[first], np.bincount(place, score) / np.maximum(np.bincount(place), 1)


def _binomial(mean: float, n: int | None) -> float:
    """Variance of a mean of n scores in 0..1: at most p(1-p)/n. Without n the value is taken as certain."""
    return mean * (1 - mean) / n if n else 0.0


def _fits(pattern: str | None, value: str | None) -> bool:
    """Whether a name matches a glob pattern, in any case. No pattern matches all; a name not known matches none."""
    return pattern is None or (value is not None and fnmatchcase(value.lower(), pattern.lower()))
