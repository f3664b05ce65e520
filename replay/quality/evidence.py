"""The evidence on one cell of traffic: the best there is of a ladder, from paired scores down to public benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.quality import public_priors
from replay.quality.intervals import Moments, paired, unpaired
from replay.quality.scores import Priors, Scores
from replay.strategy.quality_schema import Quality, QualityRow

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

MIN_SCORED: Final = 5  # fewer scored calls than this say nothing about a cell
EVIDENCE: Final = {
    "kept": "same model, same content: equal to logged by declaration",
    "paired": "both models scored on the same calls of the cell",
    "paired_task": "both models scored on the same calls of the task",
    "unpaired": "each model scored on calls of its own in the task",
    "table": "the strategy's or the user's own table",
    "merged": "both models scored, on other tasks of the same pair",
    "prior": "a public benchmark of other people's tasks: counts only where the file accepts it",
    "none": "unknown",
}


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
    """Everything `assess` looks at."""

    spec: Quality
    demand: Demand
    scores: Scores
    priors: Priors = field(default_factory=Priors)


@dataclass
class EvidenceLadder:
    """The evidence ladder of one cell."""

    evidence: Evidence
    task: int
    logged: int
    served: int
    scores: Scores
    score_task: Int32
    explanation: str | None = None

    def values(self, model: int) -> Floats:
        """All scores of a model on the task, whichever calls they are of."""
        chosen = (self.score_task == self.task) & (self.scores.model == model)
        return self.scores.score[chosen]

    def logged_mean(self) -> float | None:
        values = self.values(self.logged)
        return float(values.mean()) if len(values) else None

    def kept(self, logged: Floats, size: float) -> Moments:
        """A call that keeps its model: served equals logged, whatever that is."""
        known = logged[~np.isnan(logged)]
        if len(known) < min(MIN_SCORED, size):
            known = self.values(self.logged)
        if len(known) < min(MIN_SCORED, size):
            return Moments(0, 1.0, 1.0, 0.0, 0.0, 0.0, scored=False)
        return paired(known, known, same=True)

    def best(self, logged: Floats, served: Floats, size: float) -> tuple[Moments | None, str]:
        """The best evidence on a cell of `size` calls, and its name in EVIDENCE."""
        both = ~np.isnan(logged) & ~np.isnan(served)
        thin: Moments | None = None
        if both.sum() >= min(MIN_SCORED, size):
            return paired(served[both], logged[both]), "paired"
        if both.any():
            thin = paired(served[both], logged[both])
        on_task = self._same_calls()
        if len(on_task[0]) >= MIN_SCORED:
            return paired(*on_task), "paired_task"
        mine, theirs = self.values(self.served), self.values(self.logged)
        if len(mine) >= MIN_SCORED and len(theirs) >= MIN_SCORED:
            return unpaired(mine, theirs), "unpaired"
        told = self._table(theirs)
        if told is not None:
            return told, "table"
        prior = self._prior() if thin is None else None
        return (thin, "none") if prior is None else (prior, "prior")

    def _same_calls(self) -> tuple[Floats, Floats]:
        scores = self.scores
        of_task = self.score_task == self.task
        served = of_task & (scores.model == self.served)
        logged = of_task & (scores.model == self.logged)
        _, left, right = np.intersect1d(scores.call[served], scores.call[logged], return_indices=True)
        return scores.score[served][left], scores.score[logged][right]

    def _table(self, theirs: Floats) -> Moments | None:
        served, logged = self._rows("table")
        if served is None:
            return None
        if logged is not None:
            mean, variance = logged.quality, _binomial(logged.quality, logged.n)
        elif len(theirs) >= MIN_SCORED:
            mean, variance = float(theirs.mean()), float(theirs.var(ddof=1) / len(theirs))
        else:
            return None
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


def _binomial(mean: float, n: int | None) -> float:
    """Variance of a mean of n scores in 0..1: at most p(1-p)/n. Without n the value is taken as certain."""
    return mean * (1 - mean) / n if n else 0.0


def _fits(pattern: str | None, value: str | None) -> bool:
    """Whether a name matches a glob pattern, in any case. No pattern matches all; a name not known matches none."""
    return pattern is None or (value is not None and fnmatchcase(value.lower(), pattern.lower()))
