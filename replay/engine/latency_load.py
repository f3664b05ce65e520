"""Whether durations that were logged at one load hold at another: how many more calls each model would get.

A model that serves from one queue is fast while few ask it. Where the log's own durations of a model rise with its
calls in flight, they are no measure of the load that the strategy would put on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.engine.engine import Engine
from replay.engine.outcome import Outcome
from replay.outcomes import HIT, MAX_TIERS

Floats = NDArray[np.float64]

MORE: Final = 1.25  # times the logged calls, from which the load of a model is another one
LEAST: Final = 30  # timed calls of a model
SURE: Final = 3.0  # errors from zero, for a slope
STEEP: Final = 0.1  # log of the duration per log of one more than the calls in flight


@dataclass(frozen=True)
class Load:
    """A model that would get `times` its logged calls; `rises`: its logged durations grow with its calls in flight."""

    model: str
    times: float
    rises: bool

    @property
    def words(self) -> str:
        """What it means for its durations."""
        why = ", and they rise with its calls in flight" if self.rises else ""
        return f"{self.model} would get {self.times:.1f} times its logged calls{why}"

    def to_json(self) -> dict[str, Any]:
        return {"model": self.model, "times": round(self.times, 3), "rises": self.rises}


def loads(engine: Engine, outcome: Outcome) -> tuple[Load, ...]:
    """The models that would get clearly more calls than logged, those of the most calls first."""
    traffic = engine.traffic
    asked = traffic.window & traffic.demand & ~traffic.gateway_hit
    hit = (outcome.codes >= HIT) & (outcome.codes < HIT + MAX_TIERS)
    moved = engine.moved(engine.everything)
    times = np.ones(len(traffic)) if moved is None else moved.calls_of_each()
    width = len(engine.models)
    before = np.bincount(traffic.model[asked], minlength=width)
    mine = asked & ~hit
    after = np.bincount(outcome.model[mine], times[mine], minlength=width)
    grown = np.flatnonzero((after > MORE * before) & (before > 0))
    return tuple(
        Load(str(engine.models[model][1]), float(after[model] / before[model]), _rises(engine, model))
        for model in grown[np.argsort(-after[grown], kind="stable")].tolist()
    )


def _rises(engine: Engine, model: int) -> bool:
    """Whether the log of a call's duration, beside that of its tokens, rises with the model's calls in flight."""
    traffic = engine.traffic
    rows = np.flatnonzero((traffic.model == model) & ~traffic.gateway_hit & ~traffic.failed)
    spent = (traffic.end_ms - traffic.start_ms)[rows].astype(np.float64)
    rows, spent = rows[spent > 0], spent[spent > 0]
    if len(rows) < LEAST:
        return False
    begun = traffic.start_ms[rows]
    busy = np.searchsorted(begun, begun, "left") - np.searchsorted(np.sort(traffic.end_ms[rows]), begun, "right")
    flight = np.log1p(np.maximum(busy, 0).astype(np.float64))
    sizes = [
        np.log1p(np.maximum(one[rows], 0).astype(np.float64)) for one in (traffic.usage.output, traffic.usage.input)
    ]
    columns = np.column_stack([np.ones(len(rows)), flight, *sizes])
    columns = columns[:, [0, *(k for k in range(1, 4) if columns[:, k].std() > 0)]]
    if flight.std() == 0:
        return False
    found, _, rank, _ = np.linalg.lstsq(columns, np.log(spent), rcond=None)
    rest = np.log(spent) - columns @ found
    inverse = np.linalg.pinv(columns.T @ columns)
    error = float(np.sqrt(inverse[1, 1] * (rest @ rest) / max(len(rows) - rank, 1)))
    return bool(found[1] > STEEP and found[1] > SURE * error)
