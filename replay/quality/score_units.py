"""What a score belongs to: a call, or a conversation, trace or task all of whose calls carry it.

A unit that was scored once counts once, however many calls it took, and errors are clustered by it. Scores of single
calls count call by call; their errors are clustered by conversation, whose calls resemble each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import score_scope
from analysis.score_scope import COLUMN, INFERRED, SCOPES
from replay.quality.scores import ScoreRows
from replay.traffic.traffic import Traffic

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

MOST_BESIDE: Final = 0.1  # calls without a score for each scored one of the same conversations


@dataclass(frozen=True)
class ScoreUnits:
    """`unit`: a number per call by which errors are clustered; `whole`: its unit counts once, whatever its calls.

    `scope` is the one of most scored calls; `inferred` says that no call names it. `partly`: neither the log nor the
    scores tell what they belong to, and many calls beside scored ones have none.
    """

    unit: Int64
    whole: Bools
    scope: str = "call"
    inferred: bool = False
    partly: bool = False

    def weights(self, counted: Bools) -> Floats:
        """What each counted call weighs: 1, or one over the counted calls of a unit that counts once; 0 elsewhere."""
        weight = counted.astype(np.float64)
        mine = self.whole & counted
        if mine.any():
            size = np.bincount(self.unit[mine], minlength=int(self.unit.max()) + 1)
            weight[mine] = 1 / size[self.unit[mine]]
        return weight


def units_of(traffic: Traffic, rows: ScoreRows) -> ScoreUnits | None:
    """The units of a traffic's scores; None where each call stands for itself."""
    n = len(traffic)
    scored = np.unique(rows.call)
    if not len(scored):
        return None
    own = np.full(n, np.nan)
    logged = np.array([name is None for name in rows.model], bool)
    own[rows.call[logged]] = rows.score[logged]
    scope = np.full(n, -1, np.int8)
    if _has(traffic, "score_scope"):
        told = traffic.rule_frame(["score_scope"])["score_scope"].cast(pl.String)
        for number, word in enumerate(SCOPES):
            scope[(told == word).fill_null(False).to_numpy()] = number
    codes = {name: _codes(traffic, column) for name, column in COLUMN.items() if _has(traffic, column)}
    stated = scope[scored] >= 0
    inferred = "call"
    if not stated.all():
        silent = scope < 0
        of_whom: dict[str, Int64] = {name: codes[name][silent] for name in INFERRED if name in codes}
        inferred = score_scope.inferred(own[silent], of_whom)
    # calls without a score go by the scope of most scored ones: they are demand of the same kind
    common = int(np.bincount(np.where(stated, scope[scored], SCOPES.index(inferred)), minlength=4).argmax())
    scope = np.where(scope >= 0, scope, SCOPES.index(inferred) if (scope[scored] < 0).any() else common)
    unit = np.arange(n, dtype=np.int64)  # a call that names no unit is one
    whole = np.zeros(n, bool)
    start = n
    for number, name in enumerate(SCOPES):
        column = codes.get("conversation" if name == "call" else name)
        if column is None:
            continue
        mine = (scope == number) & (column >= 0)
        unit[mine] = start + column[mine]
        whole[mine] = name != "call"
        start += int(column.max(initial=0)) + 1
    unit = np.unique(unit, return_inverse=True)[1].astype(np.int64)
    partly = False
    if SCOPES[common] == "call" and not stated.any():
        beside = np.isin(unit, unit[scored])
        partly = float(beside.sum()) > (1 + MOST_BESIDE) * len(scored)
    if not partly and not whole.any() and len(np.unique(unit[scored])) == len(scored):
        return None
    return ScoreUnits(unit, whole, SCOPES[common], inferred=not stated.any() and inferred != "call", partly=partly)


def spread(rows: ScoreRows, units: ScoreUnits) -> ScoreRows:
    """The rows with the score of each unit that counts once given to all of its calls: the mean of those it got."""
    mine = units.whole[rows.call]
    if not mine.any():
        return rows
    names = sorted({name or "" for name in rows.model})
    model = np.array([names.index(name or "") for name in rows.model], np.int64)
    key = (units.unit[rows.call] * len(names) + model) * 2 + rows.shadow
    keys, place = np.unique(key[mine], return_inverse=True)
    mean = np.bincount(place, rows.score[mine]) / np.bincount(place)
    calls = np.flatnonzero(units.whole)
    calls = calls[np.argsort(units.unit[calls], kind="stable")]
    of_unit = keys // 2 // len(names)
    first, last = (np.searchsorted(units.unit[calls], of_unit, side=side) for side in ("left", "right"))
    repeat = last - first
    source = np.repeat(np.arange(len(keys)), repeat)
    target = calls[np.arange(len(source)) - np.repeat(np.cumsum(repeat) - repeat, repeat) + first[source]]
    rest = ~mine
    told = [*(model[rest]).tolist(), *(keys[source] // 2 % len(names)).tolist()]
    return ScoreRows(
        np.concatenate([rows.call[rest], target]),
        tuple(names[number] or None for number in told),
        np.concatenate([rows.score[rest], mean[source]]),
        np.concatenate([rows.shadow[rest], (keys[source] % 2).astype(bool)]),
    )


def _has(traffic: Traffic, column: str) -> bool:
    with traffic.store.read() as con:
        found = con.execute(f"SELECT count({column}) FROM calls").fetchall()
    return bool(found[0][0])


def _codes(traffic: Traffic, column: str) -> Int64:
    """A number per call for each value of a column, -1 where it is missing."""
    values = traffic.rule_frame([column])[column]
    rank = values.rank("dense").cast(float).fill_null(0).to_numpy().astype(np.int64)
    return rank - 1
