"""Gates on the state of the log: days that stand out, calls that cannot be priced, lines set aside, slow answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import sqrt
from typing import Final

from analysis.diagnosis import narrative
from analysis.diagnosis.diagnose import diagnose
from analysis.formatting import count, share
from analysis.formatting import day as day_text
from analysis.gates.periods import local_day, naive
from analysis.gates.result import GateResult
from analysis.gates.settings import Settings
from analysis.ledger.costs_view import FAILED, costs_relation
from ingest.errors import InputError
from ingest.store.database import Store

RECENT: Final = timedelta(days=2)  # a log that ended longer ago does not tell what the newest day cost
LEAST_SCORED: Final = 30  # conversations, below which the normal bounds of a mean say little
Z_ONE_SIDED_90: Final = 1.2815515655446004
_KINDS: Final = {
    "unpriced": (
        f"cost_usd IS NULL AND NOT coalesce({FAILED}, false)",
        "without a price",
        "hindcast cost --by cost_status,model",
    ),
    "ambiguous": (
        "coalesce(cost_status IN ('ambiguous_usage', 'partial_usage'), false)",
        "whose usage can be read in two ways",
        "hindcast cost --estimate-partial",
    ),
}


def log_gates(store: Store, settings: Settings, now: datetime) -> Iterator[GateResult]:
    """The gates on days, shares and latency, each that has a limit."""
    with store.read() as con:
        newest, later = con.execute(
            "SELECT max(start_time) FILTER (start_time <= $now), bool_or(start_time > $now) FROM calls",
            {"now": naive(now)},
        ).fetchall()[0]
    newest = newest and newest.replace(tzinfo=UTC)
    if settings.flagged_days:
        yield _flagged(store, newest, now, earlier=bool(later))
    yield from _shares(store, settings, newest)
    if settings.unusable_share is not None:
        yield _unusable(store, settings.unusable_share)
    if settings.score_floor is not None:
        yield _score(store, settings, settings.score_floor, newest)
    if settings.latency_p95_ms is not None:
        yield _latency(store, settings, settings.latency_p95_ms, newest)


def _flagged(store: Store, newest: datetime | None, now: datetime, *, earlier: bool) -> GateResult:
    """The newest day of the log against its range; a day below it is no failure. `earlier`: the log goes on after."""
    name, limit = "flagged day", Decimal(0)

    def result(passed: bool | None, sentence: str, remedy: str | None = None) -> GateResult:
        measured = None if passed is None else Decimal(not passed)
        return GateResult(name, passed, measured, limit, "days", sentence, remedy)

    if newest is None:
        return result(None, "No call of the log has a time.")
    if now - newest > RECENT:
        ended = local_day(newest)
        return result(None, f"The log ends {day_text(ended)} {ended.year}: no newer day can be judged.",
                      "Ingest the newer logs, or judge an earlier day: --at DAY")  # fmt: skip
    try:
        found = diagnose(store, day=local_day(newest) if earlier else None)
    except InputError as error:
        return result(None, f"{error.what[:1].upper()}{error.what[1:]}.", error.remedy)
    sentences = narrative.summary(found)
    unjudged = narrative.not_judged(found)
    told = " ".join(sentences if found.flagged else [sentences[0], *unjudged])
    if found.flagged and found.delta > 0 and local_day(newest) - found.day <= timedelta(days=1):
        return result(False, told, f"hindcast diagnose --day {found.day}")
    if found.unjudged:
        return result(None, told, "hindcast cost --by cost_status,model")
    if found.verdict == "not_enough_history":
        return result(None, told)
    return result(True, told)


def _window(settings: Settings, newest: datetime) -> tuple[str, dict[str, datetime]]:
    """SQL for the calls of the last days up to the newest one, and its parameters."""
    values = {"since": naive(newest - timedelta(days=settings.days)), "newest": naive(newest)}
    return "start_time > $since AND start_time <= $newest", values


def _shares(store: Store, settings: Settings, newest: datetime | None) -> Iterator[GateResult]:
    limits = {"unpriced": settings.unpriced_share, "ambiguous": settings.ambiguous_share}
    asked = {kind: limit for kind, limit in limits.items() if limit is not None}
    if not asked:
        return
    if newest is None:
        for kind, limit in asked.items():
            yield GateResult(f"{kind} share", None, None, limit, "share", "No call of the log has a time.")
        return
    keep, values = _window(settings, newest)
    with store.read() as con:
        parts = ", ".join(f"count_if({_KINDS[kind][0]})" for kind in asked)
        calls, *found = con.execute(
            f"SELECT count(*), {parts} FROM {costs_relation(con)} WHERE {keep}", values
        ).fetchall()[0]
    for (kind, limit), number in zip(asked.items(), found, strict=True):
        _, words, remedy = _KINDS[kind]
        measured = Decimal(number) / calls
        passed = measured <= limit
        sentence = (
            f"{share(float(measured))} of {count(calls, 'call')} of the last {count(settings.days, 'day')} {words}"
            f" ({number:,}), limit {share(float(limit))}."
        )
        yield GateResult(f"{kind} share", passed, measured, limit, "share", sentence, None if passed else remedy)


def _unusable(store: Store, limit: Decimal) -> GateResult:
    with store.read() as con:
        lines, bad = con.execute(
            "SELECT coalesce(sum(rows), 0), coalesce(sum(quarantined), 0) FROM sources"
        ).fetchall()[0]
    if not lines:
        return GateResult("unusable share", None, None, limit, "share", "No line of a log was read.")
    measured = Decimal(bad) / Decimal(lines)
    sentence = (
        f"{share(float(measured))} of {count(int(lines), 'line')} could not be used ({bad:,}), "
        f"limit {share(float(limit))}."
    )
    passed = measured <= limit
    return GateResult("unusable share", passed, measured, limit, "share", sentence,
                      None if passed else "hindcast ingest PATH --explain")  # fmt: skip


def _score(store: Store, settings: Settings, limit: Decimal, newest: datetime | None) -> GateResult:
    """The mean score of the answers, a conversation counting as one draw, with its one-sided 90 % bounds."""
    name, unit = "score", "score"
    if newest is None:
        return GateResult(name, None, None, limit, unit, "No call of the log has a time.")
    keep, values = _window(settings, newest)
    with store.read() as con:
        rows = con.execute(
            f"""WITH kept AS (SELECT call_no, score, model,
                                     coalesce(conversation_id, trace_id, call_no::VARCHAR) AS unit
                              FROM calls WHERE {keep}),
                     beside AS (SELECT call_no, model, avg(score) AS mean FROM scores GROUP BY call_no, model),
                     scored AS (SELECT unit, coalesce(score, mean) AS score
                                FROM kept LEFT JOIN beside ON beside.call_no = kept.call_no
                                     AND (beside.model IS NULL OR beside.model = kept.model))
                SELECT sum(score), count(*) FROM scored WHERE isfinite(score) GROUP BY unit""",
            values,
        ).fetchall()
    groups = len(rows)
    if groups < LEAST_SCORED:
        known = f"{count(groups, 'conversation')} with scores"
        return GateResult(name, None, None, limit, unit, f"Only {known} in the last {count(settings.days, 'day')}.",
                          "How scores are logged: docs/quality.md")  # fmt: skip
    total = sum(row[1] for row in rows)
    mean = sum(row[0] for row in rows) / total
    # the variance of a mean of clusters (Cochran, Sampling Techniques, 1977, 9A.2)
    spread = sum((row[0] - mean * row[1]) ** 2 for row in rows) * groups / (groups - 1)
    reach = Z_ONE_SIDED_90 * sqrt(spread) / total
    passed = True if mean - reach >= float(limit) else False if mean + reach < float(limit) else None
    sentence = (
        f"Mean score {mean:.3f} (90 % bounds {mean - reach:.3f} and {mean + reach:.3f}) of {count(total, 'answer')} of "
        f"the last {count(settings.days, 'day')}, floor {limit}."
    )
    return GateResult(name, passed, Decimal(str(round(mean, 6))), limit, unit, sentence,
                      None if passed else "hindcast calls --order time")  # fmt: skip


def _latency(store: Store, settings: Settings, limit: Decimal, newest: datetime | None) -> GateResult:
    name = "latency p95"
    if newest is None:
        return GateResult(name, None, None, limit, "ms", "No call of the log has a time.")
    keep, values = _window(settings, newest)
    with store.read() as con:
        known, calls, slow = con.execute(
            f"""SELECT count(duration_ms), count(*), quantile_disc(duration_ms, 0.95)
                FROM calls WHERE {keep} AND status = 'ok'""",
            values,
        ).fetchall()[0]
    if not known:
        return GateResult(name, None, None, limit, "ms", f"None of the {count(calls, 'call')} of the last "
                          f"{count(settings.days, 'day')} has a duration.")  # fmt: skip
    measured = Decimal(str(slow))
    of = f"{known:,} of {count(calls, 'call')}" if known < calls else count(calls, "call")
    sentence = (
        f"95 % of {of} of the last {count(settings.days, 'day')} took at most {slow:,.0f} ms, limit {limit:,.0f} ms."
    )
    passed = measured <= limit
    return GateResult(name, passed, measured, limit, "ms", sentence,
                      None if passed else "hindcast calls --order duration")  # fmt: skip
