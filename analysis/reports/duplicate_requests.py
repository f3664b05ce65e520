"""Requests that were asked before: how often, at what price, and whether the answer was the same.

Exact: the same model and the same canonical request. Near: requests whose texts differ only in masked places (dates,
numbers, ids: the key policy `masked`), or share most of their five-word runs (MinHash, estimated Jaccard). Retries of
failed calls are not duplicates; errors neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis import log_days, time_zone
from analysis.formatting import usd
from analysis.ledger.costs_view import costs_relation
from ingest.store.database import Store

NEAR: Final = 0.8  # estimated Jaccard of five-word runs
SHINGLE: Final = 5
PERMUTATIONS: Final = 128
BANDS: Final = 16
MOST_REQUESTS: Final = 30_000  # distinct requests compared by MinHash


@dataclass(frozen=True)
class RepeatedRequests:
    """Calls of one agent and task that repeat an earlier request. Dollars are those of the repeats alone."""

    agent: str | None
    task: str | None
    groups: int
    repeats: int
    unpriced: int
    cost_usd: Decimal | None
    cost_per_day: Decimal | None
    same_answer: int  # groups that always got the same answer, or never one that the log holds
    answered: int  # groups whose answers are all in the log


@dataclass(frozen=True)
class DuplicateReport:
    """The repeated requests of a window, exact and near."""

    exact: list[RepeatedRequests]
    near: list[RepeatedRequests]
    days: int  # active days in the window
    calls: int
    compared: int  # distinct requests compared by text; 0 without text

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast duplicates --json`: dollars as decimal strings."""

        def rows(found: list[RepeatedRequests]) -> list[dict[str, Any]]:
            return [
                {
                    "agent": r.agent, "task": r.task, "groups": r.groups, "repeats": r.repeats,
                    "unpriced_calls": r.unpriced, "cost_usd": usd(r.cost_usd),
                    "cost_usd_per_day": usd(r.cost_per_day), "same_answer_groups": r.same_answer,
                    "answered_groups": r.answered,
                }
                for r in found
            ]  # fmt: skip

        return {
            "exact": rows(self.exact),
            "near": rows(self.near),
            "repeats": sum(r.repeats for r in self.exact),
            "groups": sum(r.groups for r in self.exact),
            "same_answer_groups": sum(r.same_answer for r in self.exact),
            "near_repeats": sum(r.repeats for r in self.near),
            "days": self.days,
            "calls": self.calls,
            "compared_requests": self.compared,
        }


def duplicates(
    store: Store, *, since: date | None = None, until: date | None = None, near: bool = True
) -> DuplicateReport:
    """Repeats in the window, dearest first. Near ones count only requests that are not exact repeats already."""
    days = log_days.of(store).span(since, until)
    with store.read() as con:
        relation = costs_relation(con)
        where, values = ["start_time IS NOT NULL"], {}
        if since:
            where.append("start_time >= $since")
            values["since"] = time_zone.day_start(since)
        if until:
            where.append("start_time < $until")
            values["until"] = time_zone.day_start(until + timedelta(days=1))
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE asked AS
                SELECT call_no, start_time, source_id, source_row, agent, task, model, key_canonical, key_masked,
                       output_id, cost_usd, message_ids
                FROM {relation} WHERE {" AND ".join(where)} AND status <> 'error' AND retry_of IS NULL
                  AND coalesce(attempt, 1) = 1 AND key_canonical IS NOT NULL""",
            values,
        )
        calls = con.execute("SELECT count(*) FROM asked").fetchall()[0][0]
        exact = _repeats(con, "key_canonical", days)
        compared = 0
        found: list[RepeatedRequests] = []
        if near:
            groups, compared = _near_groups(con)
            con.execute("CREATE OR REPLACE TEMP TABLE alike (key_canonical INTEGER, near_key INTEGER)")
            if groups:
                con.executemany("INSERT INTO alike VALUES (?, ?)", sorted(groups.items()))
            found = _near(con, days)
    return DuplicateReport(exact, found, days, calls, compared)


def _repeats(con: duckdb.DuckDBPyConnection, key: str, days: int) -> list[RepeatedRequests]:
    """Repeats by a column of `asked` that holds a key; the earliest call of a group is its original."""
    rows = con.execute(
        f"""WITH numbered AS (
                SELECT *, row_number() OVER (
                           PARTITION BY model, {key} ORDER BY start_time, source_id, source_row) AS nth,
                       count(*) OVER (PARTITION BY model, {key}) AS size FROM asked WHERE {key} IS NOT NULL),
            sized AS (
                SELECT model, {key} AS key, any_value(agent ORDER BY nth) AS agent,
                       any_value(task ORDER BY nth) AS task,
                       count(*) - 1 AS repeats, sum(cost_usd) FILTER (nth > 1) AS cost,
                       count(*) FILTER (nth > 1 AND cost_usd IS NULL) AS unpriced,
                       count(DISTINCT coalesce(output_id, -1)) = 1 AS same,
                       count(output_id) = count(*) AS answered
                FROM numbered WHERE size > 1 GROUP BY model, {key})
        SELECT agent, task, count(*), sum(repeats), sum(unpriced), sum(cost), count(*) FILTER (same),
               count(*) FILTER (answered)
        FROM sized GROUP BY agent, task ORDER BY sum(cost) DESC NULLS LAST, sum(repeats) DESC, agent, task""",
    ).fetchall()
    return [_row(row, days) for row in rows]


def _row(row: tuple[Any, ...], days: int) -> RepeatedRequests:
    agent, task, groups, repeats, unpriced, cost, same, answered = row
    per_day = None if cost is None else (cost / max(days, 1)).quantize(Decimal("0.000000000001"))
    return RepeatedRequests(agent, task, groups, int(repeats), int(unpriced), cost, per_day, same, answered)


def _near(con: duckdb.DuckDBPyConnection, days: int) -> list[RepeatedRequests]:
    """Repeats by likeness, without those that are exact: one original per exact group stands for it."""
    rows = con.execute(
        """WITH originals AS (
                SELECT *, row_number() OVER (
                    PARTITION BY model, key_canonical ORDER BY start_time, source_id, source_row) AS nth FROM asked),
            joined AS (
                SELECT o.*, coalesce(alike.near_key, -1 - o.key_masked) AS near
                FROM originals o LEFT JOIN alike USING (key_canonical) WHERE nth = 1),
            numbered AS (
                SELECT *, row_number() OVER (PARTITION BY model, near ORDER BY start_time, source_id, source_row) AS n,
                       count(*) OVER (PARTITION BY model, near) AS size FROM joined WHERE near IS NOT NULL),
            sized AS (
                SELECT model, near, any_value(agent ORDER BY n) AS agent, any_value(task ORDER BY n) AS task,
                       count(*) - 1 AS repeats, count(*) FILTER (n > 1 AND cost_usd IS NULL) AS unpriced,
                       sum(cost_usd) FILTER (n > 1) AS cost,
                       count(DISTINCT coalesce(output_id, -1)) = 1 AS same,
                       count(output_id) = count(*) AS answered
                FROM numbered WHERE size > 1 GROUP BY model, near)
        SELECT agent, task, count(*), sum(repeats), sum(unpriced), sum(cost), count(*) FILTER (same),
               count(*) FILTER (answered)
        FROM sized GROUP BY agent, task ORDER BY sum(cost) DESC NULLS LAST, sum(repeats) DESC, agent, task"""
    ).fetchall()
    return [_row(row, days) for row in rows]


def _near_groups(con: duckdb.DuckDBPyConnection) -> tuple[dict[int, int], int]:
    """canonical key -> group of like requests, for requests whose whole text is in the store; and how many those are.

    A request joins the earliest group whose first member it resembles, so that likeness does not drift in a chain.
    """
    rows = con.execute(
        """SELECT key_canonical, arg_min(message_ids, call_no) AS ids FROM asked WHERE len(message_ids) > 0
           GROUP BY key_canonical ORDER BY min(call_no) LIMIT $most""",
        {"most": MOST_REQUESTS},
    ).fetchall()
    texts = dict(
        con.execute(
            """SELECT content_id, text FROM contents WHERE text IS NOT NULL AND content_id IN (
                   SELECT unnest(message_ids) FROM asked)"""
        ).fetchall()
    )
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS, num_bands=BANDS)
    leaders: dict[int, Any] = {}
    groups: dict[int, int] = {}
    compared = 0
    for key, ids in rows:
        if any(i not in texts for i in ids):
            continue
        compared += 1
        sketch = RMinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update(_shingles([texts[i] for i in ids]))
        close = [(sketch.jaccard(leaders[other]), -other) for other in index.query(sketch)]
        best = max(close, default=(0.0, 0))
        if best[0] >= NEAR:
            groups[key] = -best[1]
        else:
            groups[key] = key
            leaders[key] = sketch
            index.insert(key, sketch)
    return groups, compared


def _shingles(messages: list[str]) -> list[str]:
    words: list[str] = []
    for text in messages:
        content = json.loads(text).get("content")
        parts = [content] if isinstance(content, str) else [
            part.get("text") for part in content or [] if isinstance(part, Mapping)
        ]  # fmt: skip
        words += [word for part in parts if isinstance(part, str) for word in part.split()]
    return list({" ".join(words[i : i + SHINGLE]) for i in range(max(len(words) - SHINGLE + 1, 1))})
