"""How many tokens the serving model would have read and written.

Input is recounted with the serving model's tokenizer; output follows the file's `output_ratio`, else it is assumed
equal (mid 1.0) within 0.5 to 2 times, and said to be assumed.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from analysis.models import model_info
from replay.prompts import Prompts
from replay.strategy import LengthRatio, Strategy
from replay.traffic import Int32, Int64, Traffic

ASSUMED: Final = {"low": 0.5, "mid": 1.0, "high": 2.0}
Pairs = tuple[tuple[str | None, str | None], ...]


def output_tokens(traffic: Traffic, models: Pairs, served: Int32, strategy: Strategy, bound: str) -> Int64:
    """Output tokens of the serving model; as logged for a call that keeps its model. UNKNOWN stays."""
    logged = traffic.usage.output
    moved = served != traffic.model
    if not moved.any():
        return logged
    tasks = len(traffic.tasks)
    cell = served * np.int32(tasks) + traffic.task
    ratio = np.ones(len(models) * tasks)
    for number in np.flatnonzero(np.bincount(cell[moved], minlength=len(ratio))).tolist():
        ratio[number] = ratio_for(strategy, traffic.tasks[number % tasks], models[number // tasks][1], bound)
    if (ratio == 1).all():
        return logged
    return np.where((logged < 0) | ~moved, logged, np.rint(logged * ratio[cell]).astype(np.int64))


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


def encodings_differ(traffic: Traffic, models: Pairs, served: Int32) -> bool:
    """Whether any call moves to a model that counts tokens by another tokenizer, as far as tokenizers are known."""
    moved = served != traffic.model
    names = [model_info(provider, model).encoding for provider, model in models]
    width = len(models)
    pairs = np.flatnonzero(np.bincount((traffic.model * np.int32(width) + served)[moved], minlength=1)).tolist()
    found = [(names[pair // width], names[pair % width]) for pair in pairs]
    return any(before and after and before != after for before, after in found)


def input_tokens(traffic: Traffic, models: Pairs, served: Int32, logged: Int64, prompts: Prompts | None) -> Int64:
    """`logged` input tokens (of the logged model) in the serving model's count.

    Where the two tokenizers differ and the prompt's texts are counted under both, the ratio of the two counts scales
    the logged number; elsewhere the number stays (the two agree within 1 % on English: research, cl100k over o200k).
    """
    moved = served != traffic.model
    if prompts is None or not len(prompts.ids) or not moved.any():
        return logged
    encodings = [model_info(provider, model).encoding for provider, model in models]
    result = logged.copy()
    for source in np.unique(traffic.model[moved]):
        for target in np.unique(served[moved & (traffic.model == source)]):
            before, after = encodings[source], encodings[target]
            if before == after or before not in prompts.contents.tokens or after not in prompts.contents.tokens:
                continue
            chosen = moved & (traffic.model == source) & (served == target) & (logged >= 0)
            old, new = _counted(prompts, before), _counted(prompts, after)
            known = chosen & (old > 0) & (new > 0)
            result[known] = np.rint(logged[known] * (new[known] / old[known])).astype(np.int64)
    return result


def _counted(prompts: Prompts, encoding: str) -> Int64:
    """Tokens of each prompt's texts; -1 where one of them is not counted under `encoding`."""
    tokens = prompts.contents.tokens[encoding].astype(np.int64)[prompts.ids]
    running = np.concatenate([[0], np.cumsum(np.maximum(tokens, 0))])
    missing = np.concatenate([[0], np.cumsum(tokens < 0)])
    total = running[prompts.offsets[1:]] - running[prompts.offsets[:-1]]
    return np.where(missing[prompts.offsets[1:]] > missing[prompts.offsets[:-1]], -1, total)


def _fits(pattern: str | None, value: str | None) -> bool:
    return pattern is None or (value is not None and fnmatchcase(value.lower(), pattern.lower()))
