"""How the model that served a call was chosen, and what its score belongs to, where a log says so.

`propensity` is the probability with which the policy in force chose the model that served. `assignment` is `random`
where chance alone chose (a trial, a holdback), else `policy`. `rollout` names the policy and `arm` says whether the
call was treated or kept as a control. `score_scope` is the unit that the call's score was given to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.records.call import BadRecordError, Call, text_or_none
from ingest.records.number_text import number

# field -> the words it may hold; None: any name
FIELDS: dict[str, frozenset[str] | None] = {
    "assignment": frozenset({"random", "policy"}),
    "score_scope": frozenset({"call", "conversation", "trace", "task"}),
    "arm": frozenset({"treated", "control"}),
    "rollout": None,
}
IMPOSSIBLE_SCORE = "impossible_score"
ROUNDING = 1e-6  # what the mean of scores may exceed 1 by
# keys in metadata, attributes and tags. Only `propensity` and `score_scope` mean nothing else without the prefix
KEYS = {
    key: name
    for name in ("propensity", *FIELDS)
    for key in (f"hindcast_{name}", f"hindcast.{name}", *((name,) if name in ("propensity", "score_scope") else ()))
}


def from_metadata(call: Call, metadata: Mapping[Any, Any]) -> None:
    """Take what a flat mapping says, where not known yet."""
    for key in KEYS.keys() & metadata.keys():
        name = KEYS[key]
        if getattr(call, name) is not None:
            continue
        if name != "propensity":
            setattr(call, name, text_or_none(metadata[key]))
            continue
        try:
            found = number(metadata[key], key)
        except BadRecordError:
            found = None
        if found is None:
            call.issue("impossible_propensity", str(metadata[key])[:80])
        else:
            call.propensity = float(found)


def _score(call: Call, value: float | None) -> float | None:
    """A score as the store keeps it; None and a flag for one that is on another scale."""
    if value is None or 0 <= value <= 1:
        return value
    if -ROUNDING <= value <= 1 + ROUNDING:
        return min(max(value, 0.0), 1.0)
    call.issue(IMPOSSIBLE_SCORE, f"{value}"[:80])
    return None


def check(call: Call) -> None:
    """Drop and flag a propensity outside 0..1 (without 0: it served), a score outside 0..1, and words of no meaning.

    The call stays: what was judged or drawn changes nothing of what it cost.
    """
    call.score = _score(call, call.score)
    if call.scores:
        rated = {name: _score(call, value) for name, value in call.scores.items()}
        call.scores = {name: value for name, value in rated.items() if value is not None} or None
    if call.propensity is not None and not 0 < call.propensity <= 1:
        call.issue("impossible_propensity", f"{call.propensity}"[:80])
        call.propensity = None
    for name, words in FIELDS.items():
        value = getattr(call, name)
        if value is None or words is None or value in words:
            continue
        if value.lower() in words:
            setattr(call, name, value.lower())
        else:
            call.issue(f"unknown_{name}", value[:40])
            setattr(call, name, None)
