"""How long the serving model's answers would have been.

They follow the file's `output_ratio`, else they are assumed as long as the logged ones (mid 1.0) within 0.5 to 2 times,
and said to be assumed. For the input, see `replay.estimates.input_token_ratios`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from replay.strategy.schema import LengthRatio, Strategy
from replay.traffic.traffic import Int32, Int64, Traffic

ASSUMED: Final = {"low": 0.5, "mid": 1.0, "high": 2.0}
Pairs = tuple[tuple[str | None, str | None], ...]


def output_tokens(traffic: Traffic, models: Pairs, served: Int32, strategy: Strategy, bound: str) -> Int64:
    """Output tokens of the serving model; as logged for a call that keeps its model. UNKNOWN stays."""
    from replay.kernels.common import model_moves

    logged = traffic.usage.output
    tasks = len(traffic.tasks)
    counts = np.zeros(len(models) * tasks, np.int64)
    model_moves.tasks(traffic.model, served, traffic.task, tasks, counts)
    ratio = np.ones(len(counts))
    for number in np.flatnonzero(counts).tolist():
        ratio[number] = ratio_for(strategy, traffic.tasks[number % tasks], models[number // tasks][1], bound)
    if (ratio == 1).all():
        return logged
    found = np.empty(len(logged), np.int64)
    model_moves.stretch(np.ascontiguousarray(logged), traffic.model, served, traffic.task, tasks, ratio, found)
    return found


def ratio_for(strategy: Strategy, task: str | None, model: str | None, bound: str) -> float:
    """Output of `model` over the logged one's on `task`: the first row of the file that fits, else assumed."""
    row = declared(strategy, task, model)
    if row is None:
        return ASSUMED[bound]
    return {"low": row.low or row.ratio, "mid": row.ratio, "high": row.high or row.ratio}[bound]


def declared(strategy: Strategy, task: str | None, model: str | None) -> LengthRatio | None:
    """The file's row for this task and model, if any."""
    for row in strategy.output_ratio:
        if _fits(row.task, task) and _fits(row.model, model):
            return row
    return None


def _fits(pattern: str | None, value: str | None) -> bool:
    return pattern is None or (value is not None and fnmatchcase(value.lower(), pattern.lower()))
