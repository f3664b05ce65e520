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
Pair = tuple[str | None, str | None]  # provider, model
Pairs = tuple[Pair, ...]


def output_tokens(
    traffic: Traffic, models: Pairs, served: Int32, strategy: Strategy, bound: str, *, assumed: bool = True
) -> Int64:
    """Output tokens of the serving model; as logged for a call that keeps its model. UNKNOWN stays.

    Without `assumed` a call that no row of the file fits keeps its length at either bound.
    """
    from replay.kernels.common import model_moves

    logged = traffic.usage.output
    tasks = len(traffic.tasks)
    counts = np.zeros(len(models) * tasks, np.int64)
    model_moves.tasks(traffic.model, served, traffic.task, tasks, counts)
    ratio = np.ones(len(counts))
    for number in np.flatnonzero(counts).tolist():
        task, model = traffic.tasks[number % tasks], models[number // tasks]
        if assumed or declared(strategy, task, model) is not None:
            ratio[number] = ratio_for(strategy, task, model, bound)
    if (ratio == 1).all():
        return logged
    found = np.empty(len(logged), np.int64)
    model_moves.stretch(np.ascontiguousarray(logged), traffic.model, served, traffic.task, tasks, ratio, found)
    return found


def ratio_for(strategy: Strategy, task: str | None, model: Pair, bound: str) -> float:
    """Output of `model` over the logged one's on `task`: the first row of the file that fits, else assumed."""
    row = declared(strategy, task, model)
    if row is None:
        return ASSUMED[bound]
    return {"low": row.low or row.ratio, "mid": row.ratio, "high": row.high or row.ratio}[bound]


def declared(strategy: Strategy, task: str | None, model: Pair) -> LengthRatio | None:
    """The file's row for this task and model, by its name or `provider/name`, if any."""
    names = (model[1], f"{model[0]}/{model[1]}") if model[0] and model[1] else (model[1],)
    for row in strategy.output_ratio:
        if _fits(row.task, task) and any(_fits(row.model, name) for name in names):
            return row
    return None


def _fits(pattern: str | None, value: str | None) -> bool:
    return pattern is None or (value is not None and fnmatchcase(value.lower(), pattern.lower()))
