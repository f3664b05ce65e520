"""Scores of answers: from the store, call by call and model by model, or from a table of a person's own."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.formatting import count
from ingest.errors import InputError, did_you_mean
from ingest.records.policy_in_force import IMPOSSIBLE_SCORE
from replay.strategy.quality_schema import QualityRow

if TYPE_CHECKING:
    from ingest.store.database import Store
    from replay.traffic.traffic import Traffic

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Score rows: `call` is a position in the traffic, `model` an index into the caller's models, one row per pair."""

    call: Int64
    model: Int32
    score: Floats

    def of(self, model: Int32, n: int) -> Floats:
        """The score of each of n calls under the model given for it; NaN where there is none."""
        result = np.full(n, np.nan)
        mine = self.model == model[self.call]
        result[self.call[mine]] = self.score[mine]
        return result


def scores(call: Any, model: Any, score: Any) -> Scores:
    """Score rows with repeats of the same call and model averaged."""
    call = np.asarray(call, np.int64)
    model = np.asarray(model, np.int32)
    score = np.asarray(score, np.float64)
    if not len(call):
        return Scores(call, model, score)
    width = int(model.max()) + 1
    pair, place = np.unique(call * width + model, return_inverse=True)
    mean = np.bincount(place, weights=score) / np.bincount(place)
    return Scores(pair // width, (pair % width).astype(np.int32), mean)


@dataclass(frozen=True)
class ScoreRows:
    """The stored scores of a traffic: the call's position, the model it names or None, the score, by a shadow run."""

    call: Int64
    model: tuple[str | None, ...]
    score: Floats
    shadow: Bools

    def of_log(self) -> ScoreRows:
        """The scores that are not of a shadow run."""
        return self._where(~self.shadow)

    def of_shadow(self) -> ScoreRows:
        """The scores of shadow runs: pairs by one judge on a sample of calls."""
        return self._where(self.shadow)

    def by_one_judge(self) -> ScoreRows:
        """On a call that a shadow run scored only its scores, elsewhere those of the log."""
        return self._where(self.shadow | ~np.isin(self.call, self.call[self.shadow]))

    def _where(self, mine: Bools) -> ScoreRows:
        if mine.all():
            return self
        names = tuple(name for name, kept in zip(self.model, mine.tolist(), strict=True) if kept)
        return ScoreRows(self.call[mine], names, self.score[mine], self.shadow[mine])


def stored_scores(traffic: Traffic, models: list[str | None], rows: ScoreRows | None = None) -> Scores:
    """All scores of the traffic's calls. A score of a call's own answer counts for its logged model.

    A model is found by either spelling, `vendor/model` or `model`.

    `models` are the names that the traffic's model codes index, then those that a strategy adds; `rows` are read where
    they are not given, and are then those by one judge.
    """
    rows = score_rows(traffic).by_one_judge() if rows is None else rows
    index: dict[str, int] = {}
    for number, name in enumerate(models):
        if name is not None:
            index.setdefault(name.lower(), number)
            index.setdefault(name.lower().rpartition("/")[2], number)
    for name in dict.fromkeys(name for name in rows.model if name is not None and name not in index):
        bare = index.get(name.rpartition("/")[2])
        if bare is not None and "/" not in str(models[bare]):  # a name with another vendor is another model
            index[name] = bare
    named = np.array([-1 if name is None else index.get(name, -2) for name in rows.model], np.int64)
    model = np.where(named == -1, traffic.model[rows.call], named)
    known = model >= 0
    return scores(rows.call[known], model[known], rows.score[known])


def score_rows(traffic: Traffic) -> ScoreRows:
    """Reads the scores of the traffic's calls.

    A score that names the requested model counts for the model that was billed.
    """
    with traffic.store.read() as con:
        rows = con.sql(
            """
            SELECT s.call_no, CASE WHEN s.model IS NULL OR lower(s.model) IN (lower(c.model), lower(c.request_model),
                lower(c.response_model)) THEN NULL ELSE lower(s.model) END AS model, s.score,
                coalesce(s.source LIKE 'shadow:%', false) AS shadow
            FROM scores s JOIN calls c USING (call_no) WHERE s.score IS NOT NULL
            UNION ALL
            SELECT c.call_no, NULL, c.score, false FROM calls c
            WHERE c.score IS NOT NULL AND NOT EXISTS (SELECT 1 FROM scores s WHERE s.call_no = c.call_no
                AND NOT coalesce(s.source LIKE 'shadow:%', false) AND (s.model IS NULL
                     OR lower(s.model) IN (lower(c.model), lower(c.request_model), lower(c.response_model))))
            ORDER BY 1, 2, 3, 4"""
        ).pl()
    order = np.argsort(traffic.call_no, kind="stable")
    numbers = rows["call_no"].to_numpy()
    place = np.searchsorted(traffic.call_no[order], numbers)
    inside = place < len(order)
    inside[inside] &= traffic.call_no[order][place[inside]] == numbers[inside]
    rows = rows.filter(inside)
    return ScoreRows(
        order[place[inside]], tuple(rows["model"].to_list()), rows["score"].to_numpy(), rows["shadow"].to_numpy()
    )


def other_scale(store: Store) -> str | None:
    """That scores of the store were left out as on another scale, in a sentence; None where there are none."""
    with store.read() as con:
        found = con.execute(
            "SELECT count(*) FROM import_issues WHERE code = $code", {"code": IMPOSSIBLE_SCORE}
        ).fetchall()
    if not found[0][0]:
        return None
    return (
        f"{count(found[0][0], 'score')} outside 0 to 1: the scores of their logs are on another scale and are not"
        " used; log them from 0 to 1, or read them by a mapping with `scale`"
    )


def scored_models(traffic: Traffic) -> list[str]:
    """The models that score rows name, sorted."""
    with traffic.store.read() as con:
        rows = con.execute("SELECT DISTINCT model FROM scores WHERE model IS NOT NULL ORDER BY model").fetchall()
    return [str(row[0]) for row in rows]


@dataclass(frozen=True)
class Priors:
    """A person's table of qualities, by task and model."""

    rows: tuple[QualityRow, ...] = ()
    source: str | None = None


_COLUMNS = ("task", "model", "quality", "n", "evidence", "source")


def load_priors(path: str | Path) -> Priors:
    """Read a CSV, JSON or JSONL table with the columns task, model, quality (or score), n, evidence and source.

    Rows without n are single scores: those of one task and model are averaged. `evidence` is table (the user vouches
    for it) or prior (measured on somebody else's tasks). Raises InputError with file and line.
    """
    path = Path(path)
    groups: dict[tuple[str | None, str, str, str | None], list[tuple[float, int]]] = {}
    for line, row in _rows(path):
        where = f"{path}:{line}"
        for column in row:
            if column not in (*_COLUMNS, "score"):
                raise InputError(f"unknown column '{column}'", where=where, remedy=did_you_mean(str(column), _COLUMNS))
        value = row.get("quality", row.get("score"))
        model = row.get("model")
        if not model or value in (None, ""):
            raise InputError("a row needs model and quality", where=where)
        try:
            quality, n = float(value), int(row["n"]) if row.get("n") not in (None, "") else 1
        except (TypeError, ValueError):
            raise InputError(f"not a number: {value!r} or n {row.get('n')!r}", where=where) from None
        if not 0 <= quality <= 1 or n < 1:
            raise InputError(f"quality {quality:g} (n {n}) is outside 0..1", where=where)
        kind = str(row.get("evidence") or "table")
        if kind not in ("table", "prior"):
            raise InputError(f"evidence is table or prior, not '{kind}'", where=where)
        source = str(row["source"]) if row.get("source") else None
        key = (str(row["task"]) if row.get("task") else None, str(model), kind, source)
        groups.setdefault(key, []).append((quality, n))
    result = []
    for (task, name, kind, source), found in groups.items():
        n = sum(number for _, number in found)
        mean = sum(quality * number for quality, number in found) / n
        result.append(
            QualityRow.model_validate(
                {"task": task, "model": name, "quality": mean, "n": n, "evidence": kind, "source": source}
            )
        )
    return Priors(tuple(result), str(path))


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    if path.suffix.lower() == ".csv":
        return [(i + 2, dict(row)) for i, row in enumerate(csv.DictReader(text.splitlines()))]
    try:
        if path.suffix.lower() == ".json":
            return [(i + 1, dict(row)) for i, row in enumerate(json.loads(text))]
        return [(i + 1, dict(json.loads(line))) for i, line in enumerate(text.splitlines()) if line.strip()]
    except (ValueError, TypeError) as error:
        raise InputError(f"not a table of rows: {error}", where=str(path), remedy="Use CSV, JSON or JSONL.") from error
