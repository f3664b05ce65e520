"""What a log says of a strategy that was in force: the calls that it made by itself, and how far its cascades went.

`hindcast.apply` writes it as tags. A call that a policy made by itself is kept as logged by every replay: nobody asked
for it, so no rule, cache or compressor has a say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.store.database import Store

MARK: Final = "hindcast:"  # begins every tag of a strategy that was in force
CLASSIFIER: Final = f"{MARK}classifier"
CASCADE: Final = f"{MARK}cascade"  # a step that was escalated past
FALLBACK: Final = f"{MARK}on_error"
STEP: Final = f"{MARK}step-"  # and the place of the step of a cascade, from 0
_SIDE: Final = (CLASSIFIER, CASCADE, FALLBACK)
_QUERY: Final = """
    SELECT call_no, list_has_any(tags, $side) AS side,
        coalesce(TRY_CAST(replace(list_filter(tags, lambda tag: starts_with(tag, $step))[1], $step, '') AS TINYINT), -1)
            AS step
    FROM calls WHERE tags IS NOT NULL AND {where}
        AND (list_has_any(tags, $side) OR len(list_filter(tags, lambda tag: starts_with(tag, $step))) > 0)
"""


@dataclass(frozen=True)
class PolicyMarks:
    """One element per call. `side`: a policy made it by itself; `step`: its place in a cascade, -1 if none is told."""

    side: NDArray[np.bool_]
    step: NDArray[np.int8]


def policy_marks(store: Store, where: str, call_no: NDArray[np.int64]) -> PolicyMarks:
    """The marks of the calls `call_no`, which `where` selects."""
    side, step = np.zeros(len(call_no), np.bool_), np.full(len(call_no), -1, np.int8)
    with store.read() as con:
        found = con.execute(_QUERY.format(where=where), {"side": list(_SIDE), "step": STEP}).fetchnumpy()
    place = _places(call_no, found["call_no"])
    side[place], step[place] = found["side"], found["step"]
    return PolicyMarks(side, step)


def carried_out(store: Store, where: str, call_no: NDArray[np.int64], name: str) -> NDArray[np.bool_]:
    """The calls that the strategy of this name decided about when they were made, but for those held back.

    What it pays beside a call is a call of its own in such a log.
    """
    mask = np.zeros(len(call_no), np.bool_)
    with store.read() as con:
        found = con.execute(
            f"SELECT call_no FROM calls WHERE {where} AND rollout = $name AND arm IS DISTINCT FROM 'control'",
            {"name": name},
        ).fetchnumpy()
    mask[_places(call_no, found["call_no"])] = True
    return mask


def _places(call_no: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(call_no, kind="stable")
    return order[np.searchsorted(call_no, wanted, sorter=order)]
