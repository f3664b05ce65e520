"""Quality as an interval: does a strategy stay above its floor, and what is the evidence for saying so.

A strategy passes iff the one-sided lower bound of mean(strategy - floor x logged) over all demand calls is not below
zero. The mean is stratified over cells of (task, logged model, serving model): shares of the traffic are known, only
the means inside the cells are estimated, from the best evidence there is for each cell (`EVIDENCE`, best first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.quality.cells import Cell
from replay.quality.evidence import EVIDENCE, MIN_SCORED, Evidence, EvidenceLadder
from replay.quality.how_to_know import HowToKnow
from replay.quality.intervals import Moments, lower_bound, ties
from replay.quality.off_policy import SELECTION, off_policy
from replay.quality.selection import OffPolicy

Bools = NDArray[np.bool_]
Int64 = NDArray[np.int64]


NO_EFFECT = "no effect"  # the verdict on a strategy that changes no call
MOST_UNKNOWN = 0.5  # share of the demand beyond which the mean of the rest is not shown


@dataclass(frozen=True)
class QualityReport:
    """The verdict on one strategy. `lower_90` is the highest floor that it would pass."""

    verdict: str  # passes, fails, unknown, no effect
    mean_ratio: float | None
    lower_90: float | None
    floor: float
    confidence: float
    unknown_share: float
    scored_calls: int
    cells: tuple[Cell, ...]
    per_task: tuple[dict[str, Any], ...] = ()
    evidence: str = "none"  # the weakest that any moved cell rests on
    scope: str = "call"  # what a score belongs to
    scope_inferred: bool = False
    mean_logged: float | None = None  # mean score of the logged answers, where no call's quality is unknown
    units: float = 0.0  # what is scored, of the judged demand: calls, or conversations, traces, tasks; 0: not known
    partly: bool = False  # what the scores belong to is not known, nor what the calls beside the scored ones were for
    to_know: tuple[HowToKnow, ...] = ()  # where the verdict is unknown

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "mean_ratio": _rounded(self.mean_ratio),
            "lower_90": _rounded(self.lower_90),
            "floor": self.floor,
            "confidence": self.confidence,
            "unknown_share": round(self.unknown_share, 6),
            "scored_calls": self.scored_calls,
            "evidence": self.evidence,
            "score_scope": self.scope,
            "score_scope_inferred": self.scope_inferred,
            "logged_score": _rounded(self.mean_logged),
            "units": round(self.units, 6),
            "to_know": [one.to_json() for one in self.to_know],
            "per_task": list(self.per_task),
            "cells": [cell.to_json() for cell in self.cells],
        }


def assess(evidence: Evidence) -> QualityReport:
    """Judge a strategy against its floor, and each task against its own floor where the file gives one."""
    spec = evidence.spec
    cells = cells_of(evidence)
    total = _judge(cells, spec.floor, spec.confidence)
    if not cells:  # nothing was asked for: there is nothing to hold a floor with
        total |= {"verdict": "unknown", "mean_ratio": None, "lower_90": None}
    verdict = total["verdict"]
    per_task = []
    for pattern, floor in sorted(spec.per_task.items()):
        part = [cell for cell in cells if cell.task and fnmatchcase(cell.task.lower(), pattern.lower())]
        judged = _judge(part, floor, spec.confidence)
        del judged["mean_logged"]
        per_task.append({"task": pattern, "floor": floor, **judged})
        if judged["verdict"] == "fails" or (judged["verdict"] == "unknown" and verdict == "passes"):
            verdict = judged["verdict"]
    moved = [cell.evidence for cell in cells if cell.evidence != "kept"]
    order = list(EVIDENCE)
    partly = bool(evidence.units and evidence.units.partly)
    return QualityReport(
        verdict=verdict,
        mean_ratio=total["mean_ratio"],
        lower_90=total["lower_90"],
        floor=spec.floor,
        confidence=spec.confidence,
        unknown_share=total["unknown_share"],
        scored_calls=len(np.unique(evidence.scores.call)),
        cells=tuple(cells),
        per_task=tuple(per_task),
        evidence=max(moved, key=order.index, default="kept"),
        scope=evidence.units.scope if evidence.units else "call",
        scope_inferred=bool(evidence.units and evidence.units.inferred),
        mean_logged=total["mean_logged"],
        units=0.0 if partly else float((evidence.demand.weight / 1e6 * _weights(evidence)).sum()),
        partly=partly,
    )


def _weights(evidence: Evidence) -> NDArray[np.float64]:
    """What each call weighs in the judged demand: 1, or its part of a unit that counts once."""
    counted = evidence.demand.counted
    return counted.astype(np.float64) if evidence.units is None else evidence.units.weights(counted)


# -- cells -------------------------------------------------------------------------------------------------------------


def cells_of(evidence: Evidence) -> list[Cell]:
    """All cells of the demand, largest share first, each with the best evidence there is for it.

    Moved calls of one task and serving model that only the log's own choices tell of are one cell, whatever model had
    them.
    """
    demand, scores = evidence.demand, evidence.scores
    models, tasks = max(len(demand.models), 1), max(len(demand.tasks), 1)
    n = len(demand.logged)
    own = scores.of(demand.logged, n)
    scored = ~np.isnan(own) | ~np.isnan(scores.of(demand.served, n))
    if len(evidence.shadow.call):
        scored[evidence.shadow.call] = True
    code = (demand.task.astype(np.int64) * models + demand.logged) * models + demand.served
    code = code * 2 + demand.risky
    weight = demand.weight * _weights(evidence)
    names, cell_of = _distinct(code, len(demand.tasks) * models * models * 2)
    share = np.bincount(cell_of, weights=weight, minlength=len(names))
    whole = share.sum()
    size = np.bincount(cell_of, weights=demand.counted, minlength=len(names))
    by_cell = _members(cell_of, len(names), scored)
    cells: list[Cell] = []
    chosen: dict[tuple[int, int], OffPolicy] = {}
    for position in np.argsort(-share, kind="stable").tolist():
        if share[position] <= 0:
            continue
        number, risky = divmod(int(names[position]), 2)
        number, served = divmod(number, models)
        task, logged = divmod(number, models)
        members = by_cell[position]
        ladder = EvidenceLadder(evidence, task, logged, served, own)
        overlap: OffPolicy | None = None
        if served == logged and not risky:
            moments, kind = ladder.kept(members, size[position]), "kept"
        elif risky:
            moments, kind = None, "none"
        else:
            moments, kind = ladder.pairs(members, size[position])
            if kind == "none":
                if (task, served) not in chosen:
                    chosen[task, served] = off_policy(evidence, own, task, served)
                overlap = chosen[task, served]
                if overlap.moments is not None:
                    moments, kind = overlap.moments, overlap.kind
                else:
                    moments, kind = ladder.rest(members, size[position], moments)
            if kind == "prior" and not evidence.spec.accept_priors:
                moments = None
        cells.append(
            Cell(
                task=demand.tasks[task] if task < tasks and demand.tasks else None,
                logged=demand.models[logged],
                served=demand.models[served],
                share=float(share[position] / whole),
                evidence=kind,
                moments=moments,
                explanation=ladder.explanation if kind == "prior" else None,
                logged_mean=None if moments else ladder.mean_of(logged),
                apart=ladder.mean_of(served) if kind == "unpaired" else None,
                selection=overlap,
                calls=int(size[position]),
            )
        )
    return _merge_thin(_merge_chosen(cells))


def _merge_chosen(cells: list[Cell]) -> list[Cell]:
    """One cell for all that was moved to a model in a task and judged by the log's own choices."""
    merged: dict[tuple[str | None, str | None, str], int] = {}
    result: list[Cell] = []
    for cell in cells:
        if cell.evidence not in SELECTION:
            result.append(cell)
            continue
        key = cell.task, cell.served, cell.evidence
        if key not in merged:
            merged[key] = len(result)
            result.append(cell)
            continue
        first = result[merged[key]]
        logged = ", ".join(str(name) for name in (first.logged, cell.logged) if name is not None)
        result[merged[key]] = replace(
            first, logged=logged, share=first.share + cell.share, calls=first.calls + cell.calls
        )
    return result


def _distinct(code: Int64, size: int) -> tuple[Int64, Int64]:
    """As np.unique with the inverse; without sorting where the codes, all below `size`, are few."""
    if size > len(code) + 100_000:
        return np.unique(code, return_inverse=True)
    names = np.flatnonzero(np.bincount(code, minlength=1))
    rank = np.zeros(int(names[-1]) + 1 if len(names) else 1, np.int64)
    rank[names] = np.arange(len(names))
    return names, rank[code]


def _members(cell_of: Int64, count: int, scored: Bools) -> list[Int64]:
    """The scored calls of each cell."""
    places = np.flatnonzero(scored)
    order = places[np.argsort(cell_of[places], kind="stable")]
    return np.split(order, np.searchsorted(cell_of[order], np.arange(1, count)))


def _merge_thin(cells: list[Cell]) -> list[Cell]:
    """Give the cells of one pair of models that are too thin alone their common mean; too thin together: unknown."""
    pairs: dict[tuple[str | None, str | None], list[int]] = {}
    for i, cell in enumerate(cells):
        if cell.evidence == "none" and cell.moments is not None:
            pairs.setdefault((cell.logged, cell.served), []).append(i)
    result = list(cells)
    for places in pairs.values():
        found = [cells[i].moments for i in places]
        merged = Moments.pooled([moments for moments in found if moments is not None])
        enough = merged.n >= MIN_SCORED
        for i in places:
            cell = cells[i]
            result[i] = replace(
                cell,
                evidence="merged" if enough else "none",
                moments=merged if enough else None,
                logged_mean=None if enough else cell.logged_mean,
            )
    return result


# -- the verdict -------------------------------------------------------------------------------------------------------


def _judge(cells: Sequence[Cell], floor: float, confidence: float) -> dict[str, Any]:
    """Verdict, mean ratio, highest passable floor and unknown share of some cells."""
    known = [cell for cell in cells if cell.moments is not None]
    unknown = [cell for cell in cells if cell.moments is None]
    whole = sum(cell.share for cell in cells)
    unknown_share = sum(cell.share for cell in unknown) / whole if whole else 0.0
    if not cells:
        return {"verdict": "passes", "mean_ratio": 1.0, "lower_90": 1.0, "unknown_share": 0.0, "mean_logged": None}
    parts = [(cell.share, cell.moments) for cell in known if cell.moments is not None]
    group = [(cell.logged, cell.served, cell.evidence in SELECTION) for cell in known]
    tied = ties(parts)

    def bound(ratio: float, served_unknown: float) -> float:
        # the unknown at its worst or best; a logged answer nobody scored counts as perfect where that is worse
        rest = sum(cell.share * (served_unknown - ratio * _logged(cell)) for cell in unknown)
        return rest + lower_bound(parts, ratio, confidence, group, tied)

    if bound(floor, 0.0) >= -1e-12:
        verdict = "passes"
    elif bound(floor, 1.0) < 0:
        verdict = "fails"
    else:
        verdict = "unknown"
    scored = [cell for cell in known if cell.evidence != "kept" or (cell.moments and cell.moments.scored)]
    if scored and not any(cell.moments and cell.moments.mean_logged > 0 for cell in scored):
        verdict = "unknown"  # nothing logged was good: no answer is worse, and a share of nothing says nothing
    judged = bool(scored) or all(cell.evidence == "kept" for cell in cells)
    mean_ratio = mean_logged = None
    # where nothing that moved is known the mean is that of the calls that stay, 1 whatever the model is worth
    told = not unknown or any(cell.evidence != "kept" for cell in known)
    if judged and told and unknown_share <= MOST_UNKNOWN:
        default = _mean([(cell.share, cell.moments.mean_logged) for cell in scored if cell.moments])
        top = bottom = 0.0
        for cell in known:
            moments = cell.moments
            assert moments is not None
            scale = 1.0 if moments.scored else default
            top += cell.share * moments.mean_served * scale
            bottom += cell.share * moments.mean_logged * scale
        mean_ratio = top / bottom if bottom else None
        if scored and not unknown:
            mean_logged = bottom / whole
    # a verdict without a score rests on the unknown at its worst or best, and so does its bound
    lower = _highest_floor(lambda ratio: bound(ratio, 0.0)) if judged or verdict != "unknown" else None
    return {
        "verdict": verdict, "mean_ratio": mean_ratio, "lower_90": lower, "unknown_share": unknown_share,
        "mean_logged": mean_logged,
    }  # fmt: skip


def _logged(cell: Cell) -> float:
    return 1.0 if cell.logged_mean is None else cell.logged_mean


def _mean(weighted: list[tuple[float, float]]) -> float:
    whole = sum(weight for weight, _ in weighted)
    return sum(weight * value for weight, value in weighted) / whole if whole else 1.0


def _highest_floor(bound: Any) -> float:
    low, high = 0.0, 2.0
    if bound(low) < -1e-12:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if bound(middle) >= -1e-12:
            low = middle
        else:
            high = middle
    return low


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
