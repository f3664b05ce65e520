"""How long another model's answers are: measured where the log or a shadow run has both models on a task.

Lengths differ by task as much as by model (measured: .38 to 2.6 of the other model's), so a ratio is taken only from
the task it is used for. Shadow answers are pairs on the same calls; else the two models' own calls of the task are
compared. With fewer than 30 answers nothing is claimed, and the file's row or the assumed band stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from analysis.money import sums_by
from replay.strategy.schema import LengthRatio, Strategy
from replay.traffic.traffic import Traffic

Floats = NDArray[np.float64]

LEAST: Final = 30
Z90: Final = 1.6448536269514722


def known(traffic: Traffic, models: Sequence[str], *, paired: bool = False) -> tuple[LengthRatio, ...]:
    """All measured length ratios of `models`, the names that calls may move to; `paired`: on the same calls only."""
    return tuple(measured(traffic, models, paired=paired)) if models and len(traffic) else ()


def informed(strategy: Strategy, rows: tuple[LengthRatio, ...]) -> Strategy:
    """The strategy with measured length ratios after those of its file, which come first where both fit."""
    if not rows:
        return strategy
    return strategy.model_copy(update={"output_ratio": (*strategy.output_ratio, *rows)})


def measured(traffic: Traffic, models: Sequence[str], *, paired: bool = False) -> Iterator[LengthRatio]:
    """One row per task and model with evidence: ratio of output tokens to the other models', and its 90 % interval."""
    shadow = _shadow_pairs(traffic)
    names = [name for _, name in traffic.models]
    for model in dict.fromkeys(models):
        own = None if paired else _by_task(traffic, [place for place, name in enumerate(names) if name == model])
        others = _by_task(traffic, [place for place, name in enumerate(names) if name != model]) if own else None
        for number, task in enumerate(traffic.tasks):
            if task is None:
                continue
            pairs = shadow.get((model.lower(), task))
            if pairs is not None and len(pairs[0]) >= LEAST:
                yield _row(task, model, *pair_ratio(*pairs))
            elif own and others and min(own.calls[number], others.calls[number]) >= LEAST:
                yield _row(task, model, *_unpaired(own, others, number))


@dataclass(frozen=True)
class _Lengths:
    """Answers by task: how many, their mean length, and its squared relative error."""

    calls: Floats
    mean: Floats
    error: Floats


def _by_task(traffic: Traffic, models: Sequence[int]) -> _Lengths | None:
    """The answer lengths of some models; None if they answered nothing."""
    output = traffic.tokens("output")
    chosen = np.isin(traffic.model, models) & (output > 0)
    if not chosen.any():
        return None
    task, length, tasks = traffic.task[chosen], output[chosen], len(traffic.tasks)
    calls = np.bincount(task, minlength=tasks).tolist()
    sums, squares = sums_by(length, task, tasks), sums_by(length * length, task, tasks)
    found = [_moments(*one) for one in zip(calls, sums, squares, strict=True)]
    return _Lengths(np.array(calls, np.float64), *(np.array(part) for part in zip(*found, strict=True)))


def _moments(calls: int, total: int, squares: int) -> tuple[float, float]:
    """(mean, squared relative error of the mean) from integer sums: the same in whatever order the calls come."""
    if calls < 2:
        return (total / calls if calls else math.nan), math.nan
    inside = squares - Fraction(total * total, calls)
    return total / calls, float(inside * calls / (calls - 1) / (total * total))


def _unpaired(own: _Lengths, others: _Lengths, task: int) -> tuple[float, float]:
    """(ratio, standard error) of the mean lengths of two separate samples (delta method)."""
    ratio = float(own.mean[task] / others.mean[task])
    return ratio, ratio * math.sqrt(float(own.error[task] + others.error[task]))


def pair_ratio(answers: Floats, logged: Floats) -> tuple[float, float]:
    """(ratio, standard error) of output lengths on the same calls (the ratio estimator: Cochran, 1977, 6.4)."""
    ratio = float(answers.sum() / logged.sum())
    rest = float(((answers - ratio * logged) ** 2).sum()) / (len(answers) - 1)
    return ratio, math.sqrt(rest / len(answers)) / float(logged.mean())


def _row(task: str, model: str, ratio: float, error: float) -> LengthRatio:
    low, high = max(ratio - Z90 * error, ratio / 4), ratio + Z90 * error

    def within(value: float) -> float:
        return round(min(max(value, 0.001), 100.0), 6)

    return LengthRatio(
        task=literal(task), model=literal(model), ratio=within(ratio), low=within(low), high=within(high)
    )


def literal(name: str) -> str:
    """The name as a pattern that fits only itself: rows are read as globs."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _shadow_pairs(traffic: Traffic) -> dict[tuple[str, str], tuple[Floats, Floats]]:
    """(model, task) -> output tokens of the model's shadow answers and of the logged ones, call by call."""
    with traffic.store.read() as con:
        try:
            rows = con.execute(
                """SELECT lower(s.model), c.task, s.output_tokens, c.output_tokens
                     FROM shadow_answers s JOIN calls c USING (call_no)
                    WHERE c.task IS NOT NULL AND c.output_tokens > 0 AND s.output_tokens > 0
                    ORDER BY 1, 2, s.call_no"""
            ).fetchall()
        except duckdb.CatalogException:  # no shadow run yet
            return {}
    found: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for model, task, answer, logged in rows:
        both = found.setdefault((model, task), ([], []))
        both[0].append(answer)
        both[1].append(logged)
    return {key: (np.array(a, np.float64), np.array(b, np.float64)) for key, (a, b) in found.items()}
