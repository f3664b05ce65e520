"""The hours of a log: one pass that answers as the calls themselves do, in whatever pieces and order they lie."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest
from builder import build_store

from analysis.anomalies.hourly_activity import activity, day_rows, dearest_agents, hours, new_agents
from analysis.ledger import costs_view
from analysis.ledger.costs_view import CREATE_COSTS, CREATE_LEDGER
from ingest.store.database import Store

FIRST = datetime(2024, 3, 1, 22, 30)


def priced(path: Path, *, weights: bool = False, shuffled: bool = False) -> Store:
    """Four days of calls by two agents, some without time, agent or price."""
    rows = [
        {
            "start_time": None if n % 41 == 0 else FIRST + timedelta(minutes=11 * n),
            "agent": [None, "writer", "reader"][n % 3],
            "input_tokens": 100 + n,
            "output_tokens": None if n % 13 == 0 else n % 50,
            "cache_read_input_tokens": n % 100,
            "attempt": 2 if n % 17 == 0 else 1,
            "weight": 2.5 if weights and n % 2 else 1,
        }
        for n in range(400)
    ]
    store = build_store(path, rows)
    with store.write() as con:
        con.execute(CREATE_LEDGER)
        order = "hash(call_no)" if shuffled else "call_no"
        con.execute(
            f"""INSERT INTO ledger BY NAME SELECT call_no, 'priced' AS cost_status,
                CASE WHEN call_no % 7 > 0 THEN (call_no * 0.000123)::DECIMAL(18,12) END AS cost_usd
                FROM calls ORDER BY {order}"""
        )
        con.execute(CREATE_COSTS)
    return store


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_days_agents_and_hours_are_those_of_the_calls(tmp_path: Path, weights: bool, shuffled: bool) -> None:
    with priced(tmp_path / "s.duckdb", weights=weights, shuffled=shuffled).read() as con:
        relation = costs_view.costs_relation(con)
        assert relation == ("costs" if shuffled else "aligned_costs")
        found = activity(con, "cost", relation)
        days = con.execute(
            """SELECT start_time::DATE AS day, coalesce(sum(cost_usd), 0)::DOUBLE FROM costs
               WHERE start_time IS NOT NULL GROUP BY day"""
        ).fetchall()
        assert found.totals == dict(days)
        tokens = activity(con, "tokens", relation).totals
        assert tokens == dict(
            con.execute(
                """SELECT start_time::DATE AS day,
                          sum((coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) * weight)::DOUBLE
                   FROM costs WHERE start_time IS NOT NULL GROUP BY day"""
            ).fetchall()
        )
        per_day = con.execute(
            """SELECT start_time::DATE AS day, coalesce(sum(cost_usd), 0)::DOUBLE, sum(weight)::DOUBLE,
                      coalesce(sum(input_tokens * weight), 0)::DOUBLE, coalesce(sum(output_tokens * weight), 0)::DOUBLE,
                      coalesce(sum(cache_read_input_tokens * weight), 0)::DOUBLE, count(*) - count(cost_usd), count(*),
                      count(*) FILTER (attempt > 1 OR retry_of IS NOT NULL)
               FROM costs WHERE start_time >= '2024-03-02' AND start_time < '2024-03-04' GROUP BY day ORDER BY day"""
        ).fetchall()
        assert day_rows(con, date(2024, 3, 2), date(2024, 3, 4)) == per_day
        per_agent = con.execute(
            """SELECT coalesce(agent, '(no agent)'), start_time::DATE AS day, coalesce(sum(cost_usd), 0)::DOUBLE
               FROM costs WHERE start_time >= '2024-03-01' AND start_time < '2024-03-05' GROUP BY ALL"""
        ).fetchall()
        whole: dict[str, float] = {}
        for name, _, usd in per_agent:
            whole[name] = whole.get(name, 0.0) + usd
        dearest = sorted(whole, key=lambda name: (-whole[name], name))[:2]
        told = dearest_agents(con, date(2024, 3, 1), date(2024, 3, 5), 2)
        assert list(told) == dearest
        assert told == {name: {day: usd for one, day, usd in per_agent if one == name} for name in dearest}
        for day in (date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 4)):
            seen = {name for name, other, _ in per_agent if other < day}
            new = [(name, usd) for name, other, usd in per_agent if other == day and name not in seen and usd >= 0.01]
            assert new_agents(con, date(2024, 3, 1), day, 0.01) == (sorted(new) if seen else [])
        per_hour = con.execute(
            """SELECT date_trunc('hour', start_time) AS hour, coalesce(sum(cost_usd), 0)::DOUBLE FROM costs
               WHERE start_time < '2024-03-03' GROUP BY hour"""
        ).fetchall()
        assert hours(con, date(2024, 3, 1), date(2024, 3, 3)) == dict(per_hour)


def test_a_store_read_in_pieces_gives_every_call_with_its_own_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs_view, "ROW_GROUP", 7)
    monkeypatch.setattr(costs_view, "PIECE", 35)
    with priced(tmp_path / "s.duckdb").read() as con:
        query = "SELECT call_no, agent, input_tokens, cost_usd, cost_status FROM {} ORDER BY call_no"
        everything = con.execute(query.format("costs")).fetchall()
        relation = costs_view.costs_relation(con)
        assert con.execute(query.format(relation)).fetchall() == everything
        views = con.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'aligned_costs'").fetchall()
        assert views[0][0].count("POSITIONAL JOIN") > 1
        some = costs_view.ranges_relation(con, relation, [(310, 330), (12, 40), (20, 60), (350, 399)])
        read = [row[0] for row in con.execute(query.format(some)).fetchall()]
        assert read == [*range(12, 61), *range(310, 331), *range(350, 400)]
        assert con.execute(query.format(some)).fetchall() == [everything[n] for n in read]


def test_the_calls_of_a_day_lie_in_its_ranges(tmp_path: Path) -> None:
    with priced(tmp_path / "s.duckdb").read() as con:
        found = activity(con, "cost", costs_view.costs_relation(con))
        rows = con.execute(
            "SELECT start_time::DATE, call_no FROM calls WHERE start_time IS NOT NULL ORDER BY ALL"
        ).fetchall()
        for day, mine in groupby(rows, key=lambda row: row[0]):
            (first, last), numbers = found.ranges([day])[0], [number for _, number in mine]
            assert (first, last) == (min(numbers), max(numbers))
        assert found.ranges([date(2030, 1, 1)]) == []
