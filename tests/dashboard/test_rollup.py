"""One report by day, agent, task and model serves all coarser ones: the same rows in the same order."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from builder import build_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from analysis.reports.cost import cost
from dashboard.data import cost_rollup
from ingest.store.database import Store

CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "start_time": st.none() | st.integers(0, 3).map(lambda day: datetime(2024, 3, 1) + timedelta(days=day)),
            "agent": st.sampled_from([None, "", "a", "B", "é"]),
            "task": st.sampled_from([None, "draft"]),
            "model": st.sampled_from([None, "gpt-4-turbo", "gpt-3.5-turbo", "nobody-knows"]),
            "input_tokens": st.none() | st.integers(0, 10_000),
            "output_tokens": st.none() | st.integers(0, 10_000),
            "weight": st.sampled_from([1, 3]),
            "logged_cost_usd": st.none() | st.sampled_from(["0.5", "0.25"]),
        }
    ),
    min_size=1,
    max_size=25,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rollup")


def same(store: Store, since: date | None, until: date | None) -> None:
    whole = cost_rollup.whole(store)
    assert whole is not None
    for count in range(5):
        for by in combinations(cost_rollup.DIMENSIONS, count):
            found = cost_rollup.rolled_up(whole, by, since, until)
            asked = cost(store, by=by, since=since, until=until).to_json()
            if not asked["rows"][0]["calls"] and not by:
                asked["rows"] = []  # SQL gives a row of nothing for the sum over no calls
            assert found == {name: asked[name] for name in found}


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS, st.none() | st.integers(1, 3).map(lambda day: date(2024, 3, day)))
def test_it_is_what_the_command_says(folder: Path, calls: list[dict[str, Any]], since: date | None) -> None:
    path = folder / "store.duckdb"
    path.unlink(missing_ok=True)
    store = build_store(path, calls)
    ledger.update(store)
    same(store, since, None)


def test_it_is_what_the_command_says_of_the_spiky_store(spiky: Store) -> None:
    same(spiky, None, None)
    same(spiky, date(2024, 3, 2), date(2024, 3, 6))


def test_fractions_of_calls_are_left_to_the_command(folder: Path) -> None:
    store = build_store(folder / "fractions.duckdb", [{"start_time": datetime(2024, 3, 1), "weight": 0.5}])
    ledger.update(store)
    assert cost_rollup.whole(store) is None


def test_a_long_report_is_left_to_the_command(spiky: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_rollup, "MOST_ROWS", 5)
    assert cost_rollup.whole(spiky) is None
