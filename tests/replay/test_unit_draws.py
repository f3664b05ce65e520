"""A past day's replay depends on nothing later: draws go by the hash of their unit, never by rank in the window."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given
from hypothesis import strategies as st

from analysis.ledger import ledger
from replay.engine.run import run
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load
from replay.traffic.unit_draws import conversations, mixed, uniform

FIRST = date(2024, 3, 1)


def calls(days: int, named_from: int | None) -> list[dict[str, Any]]:
    """300 calls a day of 60 conversations and 20 keys; from day `named_from` on the log names processes."""
    rng = np.random.default_rng(1)
    rows = []
    for day in range(days):
        for number in range(300):
            row = {
                "start_time": datetime(2024, 3, 1 + day) + timedelta(seconds=250 * number),
                "conversation_id": f"c{day}-{rng.integers(60)}" if number % 5 else None,
                "key_canonical": int(rng.integers(20)),
                "input_tokens": 900 + int(rng.integers(200)),
                "output_tokens": 100,
            }
            if named_from is not None and day >= named_from:
                row["process_id"] = f"p{number % 3}"
            rows.append(row)
    return rows


@pytest.mark.parametrize("assign", ["sticky", "round_robin"])
@pytest.mark.parametrize("named_from", [None, 1])
def test_a_past_day_costs_the_same_whatever_comes_later(tmp_path: Path, assign: str, named_from: int | None) -> None:
    tiers = "[{name: l1, scope: process, ttl: 1h}]"
    spec = parse(f"{{name: x, cache: {{processes: 8, assign: {assign}, tiers: {tiers}}}}}")
    store = build_in_memory(calls(4, named_from))
    ledger.update(store)
    found = []
    for until in (1, 2, 4):
        result = run(store, [spec], until=FIRST + timedelta(days=until - 1)).strategies[0]
        found.append([(row.cost_pico, row.hits) for row in result.daily if row.day == FIRST])
    assert found[0] == found[1] == found[2]
    assert found[0][0][1] > 0


def test_a_conversation_is_named_alike_in_every_store(tmp_path: Path) -> None:
    rows = calls(1, None)
    stores = [build_in_memory(some) for n, some in enumerate((rows, rows[:150]))]
    for store in stores:
        ledger.update(store)
    whole, half = (conversations(load(store)) for store in stores)
    talking = np.array([row["conversation_id"] is not None for row in rows[:150]])
    assert (whole[:150][talking] == half[talking]).all()
    assert len(set(whole[:150][talking].tolist())) == len({row["conversation_id"] for row in rows[:150]} - {None})


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=50), st.integers(0, 2**70), st.integers(0, 49))
def test_a_draw_depends_on_its_unit_and_stream_alone(units: list[int], stream: int, place: int) -> None:
    together = mixed(np.array(units, np.int64), stream)
    place %= len(units)
    assert together[place] == mixed(np.array([units[place]], np.int64), stream)[0]


def test_draws_are_spread_evenly() -> None:
    drawn = uniform(np.arange(100_000, dtype=np.int64), 3)
    assert abs(drawn.mean() - 0.5) < 0.005
    assert np.bincount((drawn * 8).astype(int)).min() > 100_000 / 8 * 0.95
