"""How often a weaker answer comes back for another round: estimated from the log's own scores and rounds.

Only where a strategy asks for it (`rework: estimated`), because it reads a cause into a correlation. A round is a
further call of the same agent and task in the same session. Within each task, the chance of one is regressed on the
answer's score; a model that scores lower by some amount then comes back more often by that amount times the slope.
Higher scores are never credited with fewer rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.estimates.answer_length_ratios import Z90, literal
from replay.quality.scores import Scores, stored_scores
from replay.strategy.schema import Rework, Strategy
from replay.traffic.traffic import Bool, Traffic

Floats = NDArray[np.float64]

Note = tuple[str | None, str]  # the task it speaks of, None for all; what is to be said

ESTIMATED: Final = "estimated"
LEAST: Final = 30  # scored calls of a task in sessions
PAIRS: Final = 5  # calls of the task with scores of both models


@dataclass(frozen=True)
class Slope:
    """Change of the chance of another round per point of score (a score is 0..1), with its standard error."""

    value: float
    error: float
    calls: int


def informed(strategy: Strategy, traffic: Traffic, models: Sequence[str]) -> tuple[Strategy, tuple[Note, ...]]:
    """The strategy with numbers where it says `estimated`, and what is to be said of them.

    Rows with numbers come first, as the file has them.
    """
    asked = [row for row in strategy.rework if row.extra_calls == ESTIMATED]
    if not asked:
        return strategy, ()
    told: list[Note] = []
    rows = [row for row in strategy.rework if row.extra_calls != ESTIMATED]
    names = [name for _, name in traffic.models]
    scores = stored_scores(traffic, [*names, *(model for model in models if model not in names)])
    index = {str(name): place for place, name in enumerate([*names, *(m for m in models if m not in names)])}
    slopes = dict(_slopes(traffic, scores))
    for model in dict.fromkeys(models):
        mine = list(_rows(traffic, scores, slopes, model, index[model]))
        rows += [row for row, _ in mine]
        told += [note for _, note in mine]
        if not mine:
            words = f"it takes {LEAST} scored calls of a task in sessions, and {PAIRS} with scores of both models"
            told.append((None, f"rework of {model} cannot be estimated: {words}; none is counted"))
    return strategy.model_copy(update={"rework": tuple(rows)}), tuple(told)


def _slopes(traffic: Traffic, scores: Scores) -> Iterator[tuple[int, Slope]]:
    """By task, how the chance of another round depends on the score of the logged answer."""
    own = scores.of(traffic.model, len(traffic))
    again, inside = rounds(traffic)
    for task in range(len(traffic.tasks)):
        chosen = inside & (traffic.task == task) & ~np.isnan(own) & traffic.demand
        if int(chosen.sum()) >= LEAST and float(np.var(own[chosen])) > 1e-9:
            yield task, slope(own[chosen], again[chosen].astype(np.float64))


def slope(score: Floats, again: Floats) -> Slope:
    """Least squares with an error that allows for unequal variances (White, 1980)."""
    centred = score - score.mean()
    spread = float((centred**2).sum())
    value = float((centred * again).sum()) / spread
    rest = again - again.mean() - value * centred
    error = math.sqrt(float(((centred * rest) ** 2).sum())) / spread
    return Slope(value, error, len(score))


def rounds(traffic: Traffic) -> tuple[Bool, Bool]:
    """(a later call of the same session, agent and task follows, the call belongs to a session) per call."""
    label = traffic.rule_frame(["conversation_id"])["conversation_id"]
    inside = label.is_not_null().to_numpy()
    session = label.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    cell = (session * len(traffic.agents) + traffic.agent) * len(traffic.tasks) + traffic.task
    order = np.lexsort((np.arange(len(cell)), cell))
    again = np.zeros(len(cell), np.bool_)
    again[order[:-1]] = cell[order][1:] == cell[order][:-1]
    return again & inside, inside


def _rows(
    traffic: Traffic, scores: Scores, slopes: dict[int, Slope], model: str, place: int
) -> Iterator[tuple[Rework, Note]]:
    n = len(traffic)
    own = scores.of(traffic.model, n)
    other = scores.of(np.full(n, place, np.int32), n)
    both = ~np.isnan(own) & ~np.isnan(other) & (traffic.model != place)
    for task, found in sorted(slopes.items()):
        name = traffic.tasks[task]
        chosen = both & (traffic.task == task)
        if name is None or int(chosen.sum()) < PAIRS:
            continue
        drop = float((own - other)[chosen].mean())
        wide = float(np.std((own - other)[chosen], ddof=1)) / math.sqrt(int(chosen.sum()))
        mid = max(-found.value * drop, 0.0)
        # the error of a product of two independent estimates, to the first order
        error = math.sqrt((found.error * drop) ** 2 + (found.value * wide) ** 2)
        low, high = max(mid - Z90 * error, 0.0), max(-found.value * drop + Z90 * error, 0.0)
        row = Rework(
            task=literal(name),
            model=literal(model),
            extra_calls=round(min(mid, 20.0), 6),
            low=round(min(low, 20.0), 6),
            high=round(min(max(high, mid), 20.0), 6),
        )
        words = (
            f"rework is estimated: {mid:.2f} extra calls ({low:.2f}-{high:.2f}) for each call moved to {model} on"
            f" {name}, from the rounds after {found.calls:,} scored calls and {int(chosen.sum()):,} pairs of scores"
        )
        yield row, (name, words)
