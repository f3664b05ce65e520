"""The cells that a lake keeps beside its parts: a report made of them is the report made of the calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis import time_zone
from analysis.ledger.lake_pricing import LakePricing
from analysis.ledger.update import update
from analysis.pricing.overrides import parse_override
from analysis.pricing.stored_overrides import store_overrides
from analysis.reports.cost import cost
from analysis.reports.lake_cells import CELLS, add_rollups, read_cells
from ingest.lake.executors import Here
from ingest.lake.run import ingest_into_lake
from ingest.store.lake import LakeStore
from ingest.store.lake_upkeep import check

QUESTIONS = ((("day", "agent"), ()), (("model", "task"), ("agent=agent_1",)), (("weekday", "model"), ()))
ZONES = ("Asia/Kathmandu", "America/New_York")  # off by whole quarters of an hour; clocks go forward that day


def write_log(path: Path, numbers: range) -> Path:
    lines = [
        json.dumps({
            "hindcast": 1, "call_id": f"c{n}",
            "start_time": f"2026-03-{7 + n % 2:02}T{(4, 18)[n // 2 % 2]:02}:{n % 14:02}:00Z",
            "request_model": ("gpt-4o", "nobody-knows")[n % 5 == 0], "input_tokens": n, "output_tokens": n % 9,
            "agent": f"agent_{n % 3}" if n % 7 else None, "task": "draft",
        })
        for n in numbers
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def agree(lake: LakeStore) -> None:
    for zone in ZONES:
        time_zone.set_in_thread(zone)
        cells = read_cells(lake)
        assert cells is not None
        for by, where in QUESTIONS:
            assert cells.cost(by, where=where).to_json() == cost(lake, by, where=where).to_json(), (zone, by)
    time_zone.set_in_thread(None)


@pytest.mark.slow
def test_what_is_read_of_a_lake_with_cells_is_what_its_calls_say(tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake/")
    for name, numbers in (("a", range(400)), ("b", range(400, 700))):
        ingest_into_lake(lake, [write_log(tmp_path / f"{name}.jsonl", numbers)], Here(), LakePricing)
        if name == "b":
            agree(lake)  # one of two parts has cells
        assert add_rollups(lake, Here()) == 1
    agree(lake)
    assert add_rollups(lake, Here()) == 0
    with lake.write() as con:
        own = parse_override(match={"model": "gpt-4o", "agent": "agent_1"}, multiplier="0.5")  # type: ignore[arg-type]
        store_overrides(con, [own], replace_all=False)
    before = cost(lake, ()).total["cost_usd"]
    update(lake, rebuild=True)
    assert cost(lake, ()).total["cost_usd"] < before
    agree(lake)  # the cells of the parts that were replaced count no more
    assert add_rollups(lake, Here()) == 2
    state = lake.state()
    assert state is not None
    assert len(state.of(CELLS)) == len(state.of("calls")) == 2
    assert check(lake).faults == []
