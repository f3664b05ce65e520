"""Rates of real clients as weighted rows: whose calls they were, day by day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from builder import build_in_memory

from analysis.diagnosis import document
from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update
from ingest.pipeline.run import ingest
from ingest.store.database import Store

MAPPING = Path(__file__).resolve().parents[3] / "sample_logs" / "mappings" / "servegen_rates.yaml"


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Store:
    file = data / "servegen_m-small_rates.parquet"
    if not file.exists():
        pytest.skip(f"{file.name} is not there")
    store = Store(tmp_path_factory.mktemp("rates") / "s.duckdb")
    ingest(store, [file], mapping=MAPPING)
    update(store)
    return store


@pytest.mark.data
def test_the_jump_of_day_nine_is_client_38(rates):
    before, day = date(2024, 1, 9), date(2024, 1, 10)
    found = diagnose(rates, day=day, baseline=(before, before), metric="calls")
    assert [round(float(value) / 1e6, 1) for value in (found.expected, found.actual)] == [105.4, 124.2]
    top = found.drivers[0]
    assert (top.segment["agent"], top.factor) == ("38", "volume")
    assert round(float(top.delta) / 1e6, 1) == 27.2
    assert sum(line.delta for line in found.drivers) + found.residual == found.delta
    assert found.causes[0].cause.segments[0]["agent"] == "38"
    assert "38" in document.summary(found)


@pytest.mark.data
@pytest.mark.parametrize("by", [("agent", "task"), ("user",), ("user", "model")])
def test_against_days_like_it_the_jump_is_client_38_too(rates, by):
    found = diagnose(rates, day=date(2024, 1, 10), metric="calls", by=by)
    top = found.drivers[0]
    assert "38" in top.segment.values()
    assert top.delta / found.delta > 0.8
    assert "38" in document.summary(found)


def test_weighted_calls_of_any_service_name_the_client_that_grew(tmp_path):
    """Ten clients by half-hours for two weeks; one of them trebles on the last day."""
    rows = []
    for day in range(15):
        for client in range(10):
            for half in range(0, 48, 4):
                rate = 100 * (client + 1) * (1 + 0.05 * ((day * 7 + client * 3 + half) % 5))
                rows.append({
                    "start_time": datetime(2024, 1, 1) + timedelta(days=day, minutes=30 * half), "agent": f"c{client}",
                    "user_id": f"c{client}", "model": "m", "weight": rate * (3 if (day, client) == (14, 4) else 1),
                })  # fmt: skip
    store = build_in_memory(rows)
    update(store)
    found = diagnose(store, day=date(2024, 1, 15), metric="calls")
    assert found.drivers[0].segment["agent"] == "c4"
    assert found.causes[0].cause.cause == "traffic"
    assert "c4" in found.causes[0].cause.segments[0].values()
    assert found.causes[0].cause.surprising
