"""What looks new or gone because of its name: an agent that was renamed, a job that ran before, a model's alias that
another model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import log
from typing import Any, Final

from analysis import formatting
from analysis.causes.call_evidence import CallQueries, Scope, scope_condition
from analysis.causes.cause_signatures import MIN_EVIDENCE, SURPRISING, Cause, cause_of, scope_of, with_evidence
from analysis.causes.segment_localization import Effect
from analysis.ledger.costs_view import FAILED

LIKE: Final = 0.3  # log of the tokens of a call, by which one name's calls may differ from the other's
SOON: Final = 3  # days from the last call under one name to the first under the other: a weekend
SAME: Final = 0.1  # of the calls, that may ask for another model than before, for an alias to have moved
MOST: Final = 0.9  # of the calls that moved, that ask for one name


def tell_names(causes: Sequence[Cause], queries: CallQueries) -> list[Cause]:
    """The causes, those of a changed name called so; a new and a gone one that are the same are one cause."""
    found = [_called_so(cause, queries) for cause in causes]
    for new in [c for c in found if c.cause == "new_agent" and c.surprising]:
        gone = [c for c in found if c.cause == "gone" and c.surprising and _alike(new, c)]
        if not gone:
            continue
        mine = _calls(_segments(new), queries)
        near = [(abs(log(other.tokens / mine.tokens)), i) for i, c in enumerate(gone)
                if (other := _calls(_segments(c), queries)).same(mine)]  # fmt: skip
        if near:
            old = gone[min(near)[1]]
            found = [c for c in found if c is not new and c is not old] + [_renamed(new, old, queries)]
    return found


@dataclass(frozen=True)
class _Calls:
    """Calls of a place: the days of the first and the last up to the day, tokens of one, the model of most."""

    first: date
    last: date
    tokens: float
    model: str | None

    def same(self, later: _Calls) -> bool:
        """Whether calls that begin about when these end are like them."""
        return (
            0 < (later.first - self.last).days <= SOON
            and min(self.tokens, later.tokens) > 0
            and abs(log(self.tokens / later.tokens)) <= LIKE
            and self.model == later.model
        )


def _segments(cause: Cause) -> Scope:
    return [effect.segment for effect in cause.effects]


def _values(effects: Sequence[Effect], name: str) -> set[str | None]:
    return {effect.segment.get(name) for effect in effects}


def _alike(new: Cause, gone: Cause) -> bool:
    """Whether all of both has the same value of a dimension, and of another one has not."""
    names = list(new.effects[0].segment)
    shared = [name for name in names if _values(new.effects, name) == _values(gone.effects, name) != {None}]
    return bool(shared) and len(shared) < len(names)


def _calls(scope: Scope, queries: CallQueries) -> _Calls:
    condition, values = scope_condition(scope)
    ((first, last, tokens, model),) = queries.ask(
        f"""SELECT min(start_time)::DATE, max(start_time)::DATE, avg(input_tokens)::DOUBLE, mode(model)
            FROM {queries.history} WHERE {condition} AND start_time::DATE <= $day""",
        {**values, "day": queries.day},
    )
    return _Calls(first or queries.day, last or queries.day, tokens or 0.0, model)


def _renamed(new: Cause, old: Cause, queries: CallQueries) -> Cause:
    mine, theirs = (_calls(_segments(cause), queries) for cause in (new, old))
    made = cause_of("renamed", [*new.segments, *old.segments], [*new.effects, *old.effects])
    told = (
        f"the one begins when the other ends, on the same model, with {mine.tokens:,.0f} tokens a call and "
        f"{theirs.tokens:,.0f}"
    )
    return with_evidence(made, told, z=max(made.z, SURPRISING), saves=max(made.delta, 0))


def _called_so(cause: Cause, queries: CallQueries) -> Cause:
    if not cause.surprising:
        return cause
    if cause.cause == "new_agent" and not cause.evidence:
        return _ran_before(cause, queries)
    if cause.cause == "gone":
        return _failing(cause, queries)
    return _alias(cause, queries) if cause.cause == "model_switch" else cause


def _failing(cause: Cause, queries: CallQueries) -> Cause:
    """What has no call left that cost anything, and some that failed."""
    base, values = queries.base(_segments(cause))
    ((failed, calls),) = queries.ask(f"SELECT count_if({FAILED}), count(*) FROM ({base}) WHERE today", values)
    if not failed or failed < calls:
        return cause
    return with_evidence(cause, f"all {formatting.count(failed, 'call')} of the day failed", name="failing")


def _ran_before(cause: Cause, queries: CallQueries) -> Cause:
    """A job that had no call on the days compared with, and some before them."""
    condition, values = scope_condition(_segments(cause))
    rows = queries.ask(
        f"""SELECT start_time::DATE AS day, sum(weight) FROM {queries.history}
            WHERE {condition} AND start_time::DATE <= $newest GROUP BY 1 ORDER BY 1 DESC LIMIT 1""",
        {**values, "newest": max(queries.days, default=queries.day)},
    )
    if not rows or rows[0][0] == queries.day:
        return cause
    day, calls = rows[0]
    told = f"it made {formatting.count(round(calls), 'call')} on {formatting.day(day)} {day.year}"
    return with_evidence(cause, told, name="runs_again")


def _moved(sides: Sequence[Mapping[Any, float]]) -> dict[Any, float]:
    """What each key's share of the day's calls is beyond its share of the baseline's."""
    before, after = (sum(side.values()) for side in sides)
    return {key: sides[1].get(key, 0.0) / after - sides[0].get(key, 0.0) / before for key in {**sides[0], **sides[1]}}


def _alias(cause: Cause, queries: CallQueries) -> Cause:
    """Calls that ask for the same model as before, and are answered by another."""
    base, values = queries.base(scope_of(cause))
    rows = queries.ask(
        f"""SELECT today, request_model, model, sum(weight)::DOUBLE FROM ({base})
            WHERE request_model IS NOT NULL AND model IS NOT NULL GROUP BY ALL ORDER BY ALL""",
        values,
    )
    asked: list[dict[str, float]] = [{}, {}]
    pairs: list[dict[tuple[str, str], float]] = [{}, {}]
    for today, request, model, calls in rows:
        asked[today][request] = asked[today].get(request, 0.0) + calls
        pairs[today][request, model] = calls
    if not all(asked):
        return cause
    moved, strayed = _moved(pairs), sum(map(abs, _moved(asked).values()))
    gained = max(moved, key=lambda pair: (moved[pair], pair))
    lost = min((pair for pair in moved if pair[0] == gained[0]), key=lambda pair: (moved[pair], pair))
    rise = sum(max(change, 0.0) for change in moved.values())
    if strayed / 2 > SAME or moved[gained] < MOST * rise or lost == gained or moved[lost] >= 0:
        return cause
    told = f"calls that ask for {gained[0]} are answered by {gained[1]} instead of {lost[1]}"
    return with_evidence(cause, told, name="alias_moved", z=max(cause.z, MIN_EVIDENCE))
