"""The user's own prices win over the book, for exactly the calls, tiers and days that they name."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ledger.ledger import update
from analysis.ledger.machine_hours import busy_shares, hour_shares
from analysis.pricing.model_names import forget
from analysis.pricing.overrides import load_file, parse_override
from analysis.pricing.stored_overrides import store_aliases, store_overrides
from ingest.errors import PriceError
from ingest.store.database import Store


def call(day: int = 5, **columns: Any) -> dict[str, Any]:
    return {"start_time": datetime(2024, 3, day, 12), "input_tokens": 1000, "output_tokens": 100, **columns}


def ledger(store: Store) -> list[tuple[str, Decimal | None]]:
    with store.read() as con:
        return con.execute("SELECT cost_status, cost_usd FROM costs ORDER BY call_no").fetchall()


def price_with(tmp_path: Path, calls: list[dict[str, Any]], *overrides: dict[str, Any], **aliases: str) -> Store:
    store = build_in_memory(calls)
    update(store)
    with store.write() as con:
        store_overrides(con, [parse_override(**item) for item in overrides], replace_all=True)
        store_aliases(con, aliases, replace_all=True)
        forget(con)
    update(store, rebuild=True)
    return store


def test_an_absolute_price_holds_for_its_models_and_its_days(tmp_path: Path) -> None:
    store = price_with(
        tmp_path,
        [call(4), call(5), call(6), call(5, model="gpt-4")],
        {"match": {"model": "GPT-4-turbo*"}, "input": 5, "from": "2024-03-05", "until": "2024-03-05"},
    )
    list_price, own = Decimal("0.013"), Decimal("0.008")  # the output price is the list's
    assert [cost for _, cost in ledger(store)] == [list_price, own, list_price, Decimal("0.036")]
    with store.read() as con:
        source = con.execute(
            "SELECT source, override_id FROM ledger JOIN prices USING (price_id) WHERE call_no = 1"
        ).fetchall()
    assert source == [("override 1", 1)]


def test_a_multiplier_scales_every_tier_and_a_later_override_wins(tmp_path: Path) -> None:
    calls = [call(), call(service_tier="batch", start_time=datetime(2024, 5, 1)), call(agent="vip")]
    store = price_with(
        tmp_path,
        calls,
        {"match": {"provider": "openai"}, "multiplier": 0.9},
        {"match": {"agent": "vip"}, "multiplier": 2},
    )
    assert [cost for _, cost in ledger(store)] == [Decimal("0.0117"), Decimal("0.00585"), Decimal("0.026")]


def test_zero_is_zero_by_choice_and_says_so(tmp_path: Path) -> None:
    store = price_with(
        tmp_path,
        [call(model="ollama_chat/qwen2.5:7b", provider_name=None), call(model="ollama_chat/other", provider_name=None)],
        {"match": {"model": "ollama_chat/qwen*"}, "zero": True},
    )
    assert ledger(store) == [("zero_by_override", Decimal(0)), ("unknown_model", None)]


def test_a_price_makes_an_unknown_model_known_from_its_day_on(tmp_path: Path) -> None:
    store = price_with(
        tmp_path,
        [call(4, model="house"), call(5, model="house")],
        {"match": {"model": "house"}, "input": 1, "output": 2, "from": "2024-03-05"},
    )
    assert ledger(store) == [("unknown_model", None), ("priced", Decimal("0.0012"))]


def test_an_account_price_holds_for_that_team_only(tmp_path: Path) -> None:
    store = price_with(
        tmp_path, [call(team="growth"), call(team="core")], {"match": {"account": "growth"}, "multiplier": 0.5}
    )
    assert [cost for _, cost in ledger(store)] == [Decimal("0.0065"), Decimal("0.013")]


def test_an_alias_gives_a_deployment_its_model(tmp_path: Path) -> None:
    store = price_with(tmp_path, [call(provider_name="azure", model="my-gpt")], **{"my-gpt": "openai/gpt-4-turbo"})
    assert ledger(store) == [("priced", Decimal("0.013"))]


def test_an_hourly_machine_is_paid_by_the_time_it_was_busy(tmp_path: Path) -> None:
    at = datetime(2024, 3, 5, 12)
    calls = [
        call(model="own", start_time=at, duration_ms=1_800_000),
        call(model="own", start_time=at, duration_ms=3_600_000),
        call(model="own", start_time=datetime(2024, 3, 5, 20), duration_ms=3_600_000),
    ]
    store = price_with(tmp_path, calls, {"match": {"model": "own"}, "per_hour": 4})
    assert [cost for _, cost in ledger(store)] == [Decimal(1), Decimal(3), Decimal(4)]
    # new calls share the machine with the old ones, which therefore change
    with store.write() as con:
        con.execute("INSERT INTO calls SELECT * REPLACE (3 AS call_no) FROM calls WHERE call_no = 2")
    update(store)
    assert [cost for _, cost in ledger(store)] == [Decimal(1), Decimal(3), Decimal(2), Decimal(2)]


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 5_000)), min_size=1, max_size=30),
    st.integers(1, 10**14),
)
@settings(max_examples=150)
def test_busy_shares_sum_to_the_busy_time_exactly(spans: list[tuple[int, int]], rate: int) -> None:
    start = np.array([s for s, _ in spans])
    length = np.array([n for _, n in spans])
    busy = len({ms for s, n in spans for ms in range(s, s + n)})
    cost = busy_shares(rate, start, length)
    assert cost.sum() == busy * rate // 3_600_000
    assert (cost >= 0).all()


@given(
    st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(0, 10**6)), min_size=1, max_size=30),
    st.integers(0, 10**14),
)
@settings(max_examples=100)
def test_hour_shares_sum_to_the_hours_that_had_a_call(calls: list[tuple[int, int]], rate: int) -> None:
    start = np.array([s for s, _ in calls])
    cost = hour_shares(rate, start, np.array([t for _, t in calls]))
    assert cost.sum() == rate * len({s // 3_600_000 for s, _ in calls})
    assert (cost >= 0).all()


BAD = [
    ({"match": {"model": "x"}}, "exactly one of"),
    ({"match": {"model": "x"}, "zero": True, "input": 1}, "exactly one of"),
    ({"match": {}, "zero": True}, "names nothing"),
    ({"match": {"model": "x"}, "input": -1}, "greater than or equal to 0"),
    ({"match": {"model": "x"}, "inputs": 1}, "Did you mean 'input'"),
    ({"match": {"mdoel": "x"}, "zero": True}, "Did you mean 'model'"),
    ({"match": {"model": "x"}, "input": 1, "from": "2024-03-05", "until": "2024-03-01"}, "is after until"),
    ({"match": {"model": "x"}, "input": 1, "tier": "bacth"}, "Did you mean 'batch'"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[message for _, message in BAD])
def test_an_override_that_does_not_say_what_it_means_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(PriceError, match=message):
        parse_override(**values)


def test_a_file_names_the_entry_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("overrides:\n  - match: {model: a}\n    zero: true\n  - match: {model: b}\n    inptu: 3\n")
    with pytest.raises(PriceError, match=r"prices.yaml: no field 'inptu' at overrides.1.inptu. Did you mean 'input'"):
        load_file(path)
