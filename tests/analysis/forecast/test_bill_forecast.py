"""The bill to come where a part of the calls has no price: a least amount, without a range."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from builder import build_store

from analysis.forecast.bill_forecast import BillForecast, bill_forecast
from analysis.ledger.ledger import update


def made(path: Path, lost: dict[str, object]) -> BillForecast:
    """Three weeks of six calls a day; of the last five days every other one is as `lost`."""
    path.mkdir()
    rows = [
        {
            "start_time": datetime(2024, 9, 2) + timedelta(days=day, hours=4 * n), "model": "gpt-4-turbo",
            "input_tokens": 10_000, "output_tokens": 500, **(lost if day >= 16 and n % 2 else {}),
        }
        for day in range(21) for n in range(6)
    ]  # fmt: skip
    store = build_store(path / "s.duckdb", rows)
    update(store)
    return bill_forecast(store)


def test_calls_without_a_price_make_it_a_least_amount_and_refused_calls_do_not(tmp_path: Path) -> None:
    house = made(tmp_path / "house", {"model": "house-llm"})
    assert house.partial
    assert "comes to at least $" in house.summary
    assert "15 of the " in house.summary
    assert "four of five" not in house.summary
    refused = {"status": "error", "input_tokens": None, "output_tokens": None, "tokens_source": "missing"}
    failed = made(tmp_path / "failed", refused)
    assert not failed.partial
    assert failed.unpriced == 0
    assert "four of five" in failed.summary
