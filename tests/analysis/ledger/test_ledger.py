"""The ledger: one row per call, NULL where unpriced, exact sums, stable under repeats."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory, build_store

from analysis.ledger.ledger import update
from analysis.ledger.usage_arrays import read_usage
from analysis.price_book.vocabulary import STATUSES
from analysis.pricing.load_rates import load_rates
from analysis.pricing.model_info import model_info
from analysis.pricing.rate_table import Usage
from analysis.reports.cost import cost
from ingest.errors import InputError, PriceError
from ingest.store.database import Store

MARCH = datetime(2024, 3, 5, 12)


def call(**columns: Any) -> dict[str, Any]:
    return {"start_time": MARCH, "input_tokens": 1000, "output_tokens": 100, **columns}


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(sql).fetchall()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    built = build_store(
        tmp_path / "s.duckdb",
        [
            call(agent="a"),
            call(agent="a", model="gpt-3.5-turbo"),
            call(agent="b", model="no-such-model"),
            call(agent="b", input_tokens=None, output_tokens=None, status="error"),
            call(agent="b", status="gateway_cache_hit", model="no-such-model"),
            call(agent="b", service_tier="scale"),
            call(agent="b", weight=Decimal("2.5")),
        ],
    )
    update(built)
    return built


def test_gpt_3_5_turbo_cost_a_twentieth_of_gpt_4_turbo_in_march_2024(store: Store) -> None:
    found = rows(store, "SELECT model, uncached_input_usd, output_usd, cost_usd FROM costs ORDER BY call_no LIMIT 2")
    assert found == [
        ("gpt-4-turbo", Decimal("0.01"), Decimal("0.003"), Decimal("0.013")),
        ("gpt-3.5-turbo", Decimal("0.0005"), Decimal("0.00015"), Decimal("0.00065")),
    ]
    assert found[0][3] == 20 * found[1][3]


def test_every_call_has_one_row_and_the_unpriced_ones_say_why(store: Store) -> None:
    assert rows(store, "SELECT cost_status, cost_usd FROM ledger ORDER BY call_no") == [
        ("priced", Decimal("0.013")),
        ("priced", Decimal("0.00065")),
        ("unknown_model", None),
        ("no_usage", None),
        ("gateway_hit", Decimal(0)),
        ("unknown_tier", None),
        ("priced", Decimal("0.0325")),
    ]


def test_updating_again_writes_nothing_and_a_rebuild_writes_the_same(store: Store) -> None:
    before = rows(store, "SELECT * FROM ledger ORDER BY call_no")
    published = store.publish_number()
    assert update(store).written == 0
    assert store.publish_number() == published  # and wakes nobody up
    assert update(store, rebuild=True).written == 7
    assert rows(store, "SELECT * FROM ledger ORDER BY call_no") == before


def test_only_new_calls_are_priced_by_the_next_update(store: Store) -> None:
    with store.write() as con:
        con.execute("INSERT INTO calls SELECT * REPLACE (7 + call_no AS call_no) FROM calls WHERE call_no < 2")
    assert update(store).written == 2
    with store.write() as con:  # a hole in the ledger is found too
        con.execute("DELETE FROM ledger WHERE call_no = 3")
    assert update(store).written == 1
    assert rows(store, "SELECT count(*), count(DISTINCT call_no) FROM ledger") == [(9, 9)]


def test_a_call_that_went_leaves_the_ledger_too(store: Store) -> None:
    with store.write() as con:
        con.execute("DELETE FROM calls WHERE call_no = 2")
    assert update(store).written == 0
    assert rows(store, "SELECT call_no FROM ledger ORDER BY 1") == rows(store, "SELECT call_no FROM calls ORDER BY 1")


def test_calls_and_ledger_in_another_order_still_meet(store: Store) -> None:
    before = cost(store, by=("agent", "model")).rows
    with store.write() as con:  # as an update of a nested column does: the row moves to the end
        con.execute("CREATE TEMP TABLE moved AS SELECT * FROM calls WHERE call_no = 1")
        con.execute("DELETE FROM calls WHERE call_no = 1")
        con.execute("INSERT INTO calls SELECT * FROM moved")
    assert cost(store, by=("agent", "model")).rows == before


def test_a_large_update_is_published_in_portions_and_a_rebuild_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(store, "SELECT * FROM ledger ORDER BY call_no")
    monkeypatch.setattr("analysis.ledger.ledger.CHUNK", 2)
    monkeypatch.setattr("analysis.ledger.ledger.PORTION", 1)
    with store.write() as con:
        con.execute("DELETE FROM ledger")
    published = store.publish_number()
    assert update(store).written == 7
    assert store.publish_number() == published + 4
    assert rows(store, "SELECT * FROM ledger ORDER BY call_no") == before
    assert update(store, rebuild=True).written == 7
    assert store.publish_number() == published + 5


def test_an_error_while_rows_are_made_is_told_as_it_is_and_publishes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(store, "SELECT * FROM ledger ORDER BY call_no")
    monkeypatch.setattr("analysis.ledger.ledger.CHUNK", 2)
    good = read_usage

    def broken(con: Any, models: Any, where: str, kinds: Any) -> Any:
        if "call_no >= 4 " in where:
            raise PriceError("this one cannot be read")
        return good(con, models, where, kinds)

    monkeypatch.setattr("analysis.ledger.price_calls.read_usage", broken)
    with pytest.raises(PriceError, match="this one cannot be read"):
        update(store, rebuild=True)
    assert rows(store, "SELECT * FROM ledger ORDER BY call_no") == before


def test_the_ledger_lies_in_the_order_of_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build_in_memory([call(input_tokens=n) for n in range(100)])
    monkeypatch.setattr("analysis.ledger.ledger.CHUNK", 7)
    update(built)
    found = rows(built, "SELECT call_no, uncached_input_usd FROM ledger")
    assert found == [(n, Decimal(n) / 100_000) for n in range(100)]


def test_totals_show_what_is_unpriced(store: Store) -> None:
    report = cost(store, by=("agent",))
    assert [(r["agent"], r["calls"], r["cost_usd"], r["unpriced_calls"]) for r in report.rows] == [
        ("b", 6, Decimal("0.0325"), 3),  # one of the five rows stands for 2.5 calls
        ("a", 2, Decimal("0.01365"), 0),
    ]
    assert report.total["unpriced_tokens"] == 2200
    assert report.to_json()["total"]["cost_usd"] == "0.04615"
    assert {row["cost_status"] for row in report.unpriced} == {"unknown_model", "no_usage", "unknown_tier"}


def test_a_total_of_nothing_priced_is_null_and_never_zero(store: Store) -> None:
    report = cost(store, by=("day",), where={"model": "no-such-model", "status": "ok"})
    assert report.total["cost_usd"] is None
    assert report.to_json()["total"]["cost_usd"] is None


def test_since_and_until_are_inclusive_days(store: Store) -> None:
    assert cost(store, since=date(2024, 3, 5), until=date(2024, 3, 5)).total["calls"] == 8
    assert cost(store, since=date(2024, 3, 6)).total["calls"] == 0


def test_a_mistyped_dimension_offers_the_nearest(store: Store) -> None:
    with pytest.raises(InputError, match="Did you mean 'agent'"):
        cost(store, by=("agnet",))


def test_a_store_without_a_ledger_says_what_to_run(tmp_path: Path) -> None:
    bare = build_in_memory([call()])
    with pytest.raises(InputError, match="hindcast reprice"):
        cost(bare)


def test_the_ledger_and_a_direct_call_of_the_price_function_agree(store: Store) -> None:
    with store.read() as con:
        rates = load_rates(con, [("openai", "gpt-4-turbo"), ("openai", "nothing")])
    at = int(MARCH.timestamp() * 1000)
    priced = rates.price(
        Usage(np.array([0, 1], np.int32), np.array([at, at]), input=np.array([1000, 1]), output=np.array([100, 1]))
    )
    assert priced.total[0] == 13 * 10**9
    assert STATUSES[priced.status[1]] == "unknown_model"


def test_a_store_that_was_never_priced_still_gives_rates(tmp_path: Path) -> None:
    bare = build_in_memory([call()])
    with bare.read() as con:
        assert load_rates(con, [("openai", "gpt-4o")]).known.all()


def test_context_windows_and_encodings_of_the_demo_models() -> None:
    assert model_info("openai", "gpt-3.5-turbo").context_window == 16385
    assert model_info("openai", "gpt-4-turbo").context_window == 128000
    assert model_info("openai", "gpt-4-turbo").encoding == "cl100k_base"
    assert model_info("openai", "gpt-4o").encoding == "o200k_base"
    assert model_info("openai", "no-such-model").context_window is None
