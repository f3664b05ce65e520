"""What the units of one model show, by agent and task: calls, prompts, answers, and how it got them.

Which units a model was given is a choice. Where chance made it, or one probability for all, or a date (first one model,
then the other), its units are like the others'. Where both served at once, its own may be the short ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.quality.balance import unbalanced
from replay.traffic.chosen_by import chosen_by
from replay.traffic.traffic import Bool, Int64, Traffic
from replay.traffic.unit_draws import tasks_of_users

Floats = NDArray[np.float64]

LEAST: Final = 5  # units of one model on an agent and task, for their means to be evidence
MOST: Final = 2_000_000  # calls; of larger logs a sample of the units, drawn by hash, is measured
MOST_SHARED: Final = 0.1  # of a model's units may be shared with others: beyond it those of its own are the short ones
SWITCHES: Final = 0.1  # of those that chance makes: with fewer changes of model from unit to unit a date chose
BY_CHANCE: Final = 0.95  # of a model's units must be chance's, to be taken for a sample of all
ONE_PROPENSITY: Final = 0.01  # logged probabilities that differ by less (standard deviation) are one


@dataclass(frozen=True)
class Measured:
    """One model on one agent and task, over units that it alone served. Means per unit or call; squared relative
    errors of the means; `size` is the squared relative spread of a unit's tokens. `opening` has the log input tokens of
    each unit's first call, NaN where others came before it, and `place` where it stands in the traffic. `by_chance`:
    chance chose the units; `shared`: the share of the model's units that others served too; `calls_range`,
    `input_range`, `output_range`: standard deviations of the logs of a unit's calls, and of its tokens a call."""

    units: int
    calls: float
    input: float
    output: float
    calls_error: float
    input_error: float
    output_error: float
    size: float
    calls_range: float
    input_range: float
    output_range: float
    opening: Floats = field(repr=False, compare=False)
    place: Int64 = field(repr=False, compare=False)
    by_chance: bool
    shared: float


def measure(
    traffic: Traffic, unit: Int64 | None = None, evidence: Bool | None = None
) -> dict[tuple[int, int], Measured]:
    """(cell, model) -> what its units show; a cell is agent x tasks + task. Units that several models share are left
    out of it, and so are retries, failures and calls without token counts. `unit` names each call's;
    `evidence` marks the calls that may be looked at."""
    usage = traffic.usage
    useful = traffic.demand & ~traffic.failed & ~traffic.gateway_hit & (usage.input > 0) & (usage.output >= 0)
    if evidence is not None:
        useful &= evidence
    unit = tasks_of_users(traffic) if unit is None else unit
    if len(traffic) > MOST:
        useful &= unit % (len(traffic) // MOST + 1) == 0
    rows = np.flatnonzero(useful)
    if not len(rows):
        return {}
    cell = traffic.agent[rows].astype(np.int64) * len(traffic.tasks) + traffic.task[rows]
    cells = int(cell.max()) + 1
    _, dense = np.unique(unit[rows], return_inverse=True)
    _, group = np.unique(dense.astype(np.int64) * cells + cell, return_inverse=True)
    size = int(group.max()) + 1
    model = np.zeros(size, np.int64)
    model[group] = traffic.model[rows]
    mixed_models = np.zeros(size, np.bool_)
    mixed_models[group[traffic.model[rows] != model[group]]] = True
    first = np.zeros(size, np.int64)
    first[group[::-1]] = rows[::-1]  # the first call is written last
    propensity, random = chosen_by(traffic)
    begins = np.zeros(int(dense.max()) + 1, np.int64)
    begins[dense[::-1]] = rows[::-1]
    whose = np.zeros(size, np.int64)
    whose[group] = dense
    opening = np.where(begins[whose] == first, np.log1p(usage.input[first].astype(np.float64)), np.nan)
    served = np.unique(np.column_stack([group, traffic.model[rows]]), axis=0)  # each model of each group once
    place = np.zeros(size, np.int64)
    place[group] = cell
    sums = [
        np.bincount(group, weights=part, minlength=size)
        for part in (np.ones(len(rows)), usage.input[rows].astype(np.float64), usage.output[rows].astype(np.float64))
    ]
    pure = np.flatnonzero(~mixed_models)
    key = place[pure] * len(traffic.models) + model[pure]
    order = np.argsort(key, kind="stable")
    names, starts = np.unique(key[order], return_index=True)
    of_whom, many = np.unique(place[served[:, 0]] * len(traffic.models) + served[:, 1], return_counts=True)
    found = {}
    for number, members in zip(names.tolist(), np.split(pure[order], starts[1:]), strict=True):
        if len(members) >= LEAST:
            calls = first[members]
            by_chance = float(random[calls].mean()) >= BY_CHANCE or (
                float(propensity[calls].std()) < ONE_PROPENSITY and float(propensity[calls].mean()) < 1 - ONE_PROPENSITY
            )
            counts, tokens, answers = (part[members].astype(np.float64) for part in sums)
            shared = 1 - len(members) / int(many[np.searchsorted(of_whom, number)])
            found[divmod(number, len(traffic.models))] = _measured(
                counts, tokens, answers, opening[members], calls, by_chance, shared
            )
    return found


def chosen(source: Measured, target: Measured) -> bool:
    """Whether somebody chose, unit by unit and nobody says how, which of the two models got it."""
    if source.by_chance and target.by_chance:
        return False
    place = np.concatenate([source.place, target.place])
    mine = (np.arange(len(place)) >= len(source.place))[np.argsort(place)]
    expected = 2 * mine.sum() * (~mine).sum() / len(mine)
    return bool((mine[1:] != mine[:-1]).sum() > 1 + SWITCHES * expected)


def not_alike(source: Measured, target: Measured, one_count: bool) -> str | None:
    """Why the target's units are evidently no sample of units like the source's; None where nothing shows it.

    `one_count`: the two models count tokens alike.
    """
    if target.shared > MOST_SHARED:
        return "most that it served it shared with other models, and those of its own are the short ones"
    if one_count:
        opening = np.concatenate([target.opening, source.opening])
        mine = np.arange(len(opening)) < len(target.opening)
        if unbalanced({"opening": opening}, mine, np.ones(len(opening)), np.arange(len(opening))):
            return "they begin with prompts of another size"
    return None


def _measured(
    calls: Floats, tokens: Floats, answers: Floats, opening: Floats, place: Int64, by_chance: bool, shared: float
) -> Measured:
    units = len(calls)
    mean = float(calls.mean())
    whole = tokens + answers

    def ratio(part: Floats) -> tuple[float, float]:
        per_call = float(part.sum() / calls.sum())
        if per_call <= 0:
            return 0.0, math.inf
        rest = float(((part - per_call * calls) ** 2).sum()) / (units - 1)
        return per_call, rest / units / (per_call * mean) ** 2

    read, read_error = ratio(tokens)
    told, told_error = ratio(answers)
    calls_error = float(calls.var(ddof=1)) / units / mean**2
    size = float(whole.var(ddof=1)) / float(whole.mean()) ** 2

    def spread(part: Floats) -> float:
        return float(np.log(np.maximum(part, 1.0)).std())

    return Measured(
        units, mean, read, told, calls_error, read_error, told_error, size,
        spread(calls), spread(tokens / calls), spread(answers / calls), opening, place, by_chance, shared,
    )  # fmt: skip
