"""What could wait, what a batch would save, and when a server of one's own pays."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from builder import build_store

from analysis import ledger
from ingest.errors import InputError
from ingest.store import Store
from replay.run import run
from replay.self_hosting import break_even
from replay.strategy import parse
from replay.waiting import candidates


def store_of(path: Path) -> Store:
    """A chat that goes on at once, and a nightly report that nobody waits for."""
    rows = []
    for day in range(4):
        for number in range(20):
            start = datetime(2024, 11, 1 + day, 10) + timedelta(seconds=20 * number)
            rows.append({"start_time": start, "task": "chat", "conversation_id": f"c{day}"})
            night = datetime(2024, 11, 1 + day, 2) + timedelta(minutes=2 * number)
            rows.append({"start_time": night, "task": "report", "conversation_id": f"r{day}"})
    for row in rows:
        row |= {"model": "gpt-4o", "agent": "a", "input_tokens": 1000, "output_tokens": 100, "duration_ms": 2000.0}
    store = build_store(path / "w.duckdb", rows)
    ledger.update(store)
    return store


def test_only_what_nobody_goes_on_with_could_wait(tmp_path: Path):
    rows = {row.segment: row for row in candidates(store_of(tmp_path))}
    assert rows["a / chat"].waited == pytest.approx(0.95)  # the last message of a day is the exception
    assert rows["a / report"].waited == 0.0
    for row in rows.values():
        assert row.sold == 1.0
        assert row.saving == row.cost // 2  # OpenAI's batch price is half


def test_a_batch_rule_saves_exactly_half_of_the_calls_it_names(tmp_path: Path):
    chosen = parse("name: b\nbatch: [{match: {task: report}}]")
    found = run(store_of(tmp_path), [chosen]).strategies[0]
    assert found.baseline - found.cost == found.baseline // 4
    assert found.savings == {"batch": found.baseline - found.cost}
    assert found.quality["verdict"] == "passes"


def test_a_discount_that_came_later_saves_nothing_before(tmp_path: Path):
    """gpt-4-turbo has a batch price since April 2024; a call of March keeps its tier and its price."""
    rows = [
        {
            "start_time": datetime(2024, month, 20),
            "model": "gpt-4-turbo",
            "agent": "a",
            "task": "report",
            "input_tokens": 1000,
            "output_tokens": 100,
        }
        for month in (3, 6)
    ]
    store = build_store(tmp_path / "d.duckdb", rows)
    ledger.update(store)
    found = run(store, [parse("name: b\nbatch: [{match: {task: report}}]")]).strategies[0]
    march, june = (row.cost for row in found.daily if row.calls)
    assert march == 2 * june
    assert found.unpriced_calls == 0


def test_servers_are_counted_for_the_busiest_hour(tmp_path: Path):
    store = store_of(tmp_path)
    chosen = parse("name: s\nroute: [{default: our-llama}]")
    one = break_even(store, chosen, usd_per_hour=Decimal("0.01"), tokens_per_second=10)
    assert one.servers == 1  # 22,000 tokens in the busiest hour, 36,000 served
    assert one.hosting_per_day == Decimal("0.24")
    assert one.worth_it == (one.api_per_day > Decimal("0.24"))
    assert break_even(store, chosen, usd_per_hour=Decimal(1), tokens_per_second=3).servers == 3
    dear = break_even(store, chosen, usd_per_hour=Decimal(100), tokens_per_second=10)
    assert not dear.worth_it
    assert dear.break_even_calls is not None
    assert dear.break_even_calls / dear.calls_per_day == pytest.approx(float(dear.hosting_per_day / dear.api_per_day))


def test_rules_that_move_nothing_are_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="would move"):
        break_even(
            store_of(tmp_path),
            parse("name: s\nroute: [{default: gpt-4o}]"),
            usd_per_hour=Decimal(1),
            tokens_per_second=9,
        )
