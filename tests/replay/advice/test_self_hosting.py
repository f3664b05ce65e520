"""When servers of one's own are cheaper than the calls that they would take over."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.errors import InputError
from ingest.store.database import Store
from replay.advice.self_hosting import break_even
from replay.strategy.schema import parse


def store_of(path: Path) -> Store:
    """Four days with 22,000 tokens in each of two hours."""
    rows = [
        {
            "start_time": datetime(2024, 11, 1 + day, hour) + timedelta(minutes=2 * number),
            "model": "gpt-4o",
            "input_tokens": 1000,
            "output_tokens": 100,
        }
        for day in range(4)
        for hour in (2, 10)
        for number in range(20)
    ]
    store = build_in_memory(rows)
    ledger.update(store)
    return store


def test_servers_are_counted_for_the_busiest_hour(tmp_path: Path):
    store = store_of(tmp_path)
    chosen = parse("name: s\nroute: [{default: our-llama}]")
    one = break_even(store, chosen, usd_per_hour=Decimal("0.01"), tokens_per_second=10)
    assert one.servers == 1  # 22,000 tokens in the busiest hour, 36,000 served
    assert one.hosting_per_day == Decimal("0.24")
    assert one.worth_it == (one.api_per_day > Decimal("0.24"))
    assert break_even(store, chosen, usd_per_hour=Decimal(1), tokens_per_second=3).servers == 3
    assert [volume.servers for volume in one.volumes] == [1, 1, 1, 2, 3, 5]  # 22,000 tokens times the volume
    assert one.volumes[2].hosting_per_day == one.hosting_per_day
    assert one.volumes[3].api_per_day == 2 * one.api_per_day
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
