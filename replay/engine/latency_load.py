"""Whether durations that were logged at one load hold at another: how many more calls each model would get.

A model that serves from one queue is fast while few ask it. Where the log's own durations of a model rise with its
calls in flight, they are no measure of the load that the strategy would put on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.engine.engine import Engine
from replay.engine.outcome import Outcome

Floats = NDArray[np.float64]

MORE: Final = 1.25  # times the logged calls, from which the load of a model is another one
LEAST: Final = 30  # timed calls of a model
SURE: Final = 3.0  # errors from zero, for a slope
STAYS: Final = -1  # the group of calls that do not move
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


def reaching(engine: Engine, outcome: Outcome) -> dict[tuple[int, int], int]:
    """How many calls of the window reach each model, by (model, group that they move with, -1 where they stay)."""
    traffic = engine.traffic
    mine = traffic.window & traffic.demand & ~traffic.gateway_hit & ~outcome.hits
    moved = engine.moved(engine.everything)
    if moved is None or not moved.moves:
        calls = np.bincount(outcome.model[mine], minlength=len(engine.models)).tolist()
        return {(model, STAYS): rows for model, rows in enumerate(calls) if rows}
    codes, group = np.unique(moved.code_of_each()[mine], return_inverse=True)
    cells = np.bincount(outcome.model[mine] * np.int64(len(codes)) + group)
    used = np.flatnonzero(cells).tolist()
    return {(cell // len(codes), int(codes[cell % len(codes)])): int(cells[cell]) for cell in used}


def loads(engine: Engine, reach: Mapping[tuple[int, int], int]) -> tuple[Load, ...]:
    """The models that would get clearly more calls than logged, those of the most calls first.

    `reach` is `reaching` of the whole traffic.
    """
    traffic = engine.traffic
    asked = traffic.window & traffic.demand & ~traffic.gateway_hit
    moved = engine.moved(engine.everything)
    times = {STAYS: 1.0} | (moved.calls_of() if moved is not None else {})
    width = len(engine.models)
    before = np.bincount(traffic.model[asked], minlength=width)
    after = np.zeros(width)
    for (model, group), rows in sorted(reach.items()):
        after[model] += rows * times[group]
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
