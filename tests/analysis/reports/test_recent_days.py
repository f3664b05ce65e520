"""The last days in a few figures: sums that a cost report has too, and levers that can be worked out by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from builder import build_store

from analysis.ledger import ledger
from analysis.reports.cost import cost
from analysis.reports.recent_days import RecentDays, recent_days
from ingest.store.database import Store

START = datetime(2026, 6, 1, 9)


def priced(path: Path, calls: list[dict[str, Any]]) -> Store:
    store = build_store(path, calls)
    ledger.update(store)
    return store


def call(minutes: float, **given: Any) -> dict[str, Any]:
    return {"start_time": START + timedelta(minutes=minutes), "input_tokens": 1000, "output_tokens": 100, **given}


def found(store: Store) -> RecentDays:
    answer = recent_days(store)
    assert answer is not None
    return answer


def test_thirty_days_up_to_the_newest_are_summed_and_the_rest_counted(tmp_path: Path) -> None:
    calls = [call(day * 1440, agent="a" if day % 2 else "b", model="gpt-4o") for day in range(40)]
    store = priced(tmp_path / "s", [*calls, {"input_tokens": 5, "output_tokens": 5}])
    answer = found(store)
    newest = START.date() + timedelta(days=39)
    since = newest - timedelta(days=29)
    whole = cost(store, ("day",), since=since)
    assert [(row["day"], row["cost_usd"]) for row in reversed(answer.days)] == [
        (row["day"], row["cost_usd"]) for row in whole.rows
    ]
    assert (answer.first, answer.last, answer.older_calls, answer.untimed_calls) == (since, newest, 10, 1)
    assert sum(row["cost_usd"] for row in answer.segments) == whole.total["cost_usd"] == answer.total["cost_usd"]
    assert answer.days[0]["agent"] == "a"


def test_a_cheaper_sibling_is_priced_component_by_component(tmp_path: Path) -> None:
    one = {"provider_name": "anthropic", "model": "claude-opus-4-1", "input_tokens": 1_000_000,
           "cache_read_input_tokens": 400_000, "output_tokens": 10_000}  # fmt: skip
    lever = found(priced(tmp_path / "s", [call(0, **one)])).lever
    assert lever is not None
    # $15, $1.50 for cached input and $75 a million against $4, $0.20 and $20 of the model at the same step today
    before = Decimal(15) * 6 / 10 + Decimal("1.5") * 4 / 10 + Decimal(75) / 100
    after = Decimal(4) * 6 / 10 + Decimal("0.2") * 4 / 10 + Decimal(20) / 100
    assert (lever.kind, lever.to, lever.whole) == ("cheaper_model", "claude-opus-5-5", before)
    assert lever.saves == before - after


def test_prompts_sent_again_at_full_price_are_the_lever_where_no_sibling_is_larger(tmp_path: Path) -> None:
    turns = [
        call(minute, provider_name="anthropic", model="claude-haiku-5-5", conversation_id="c", agent="a",
             input_tokens=10_000 * (n + 1), output_tokens=1)
        for n, minute in enumerate((0, 1, 30))
    ]  # fmt: skip
    lever = found(priced(tmp_path / "s", turns)).lever
    assert lever is not None
    # the second turn repeats the first within five minutes; the third comes too late
    assert (lever.kind, lever.tokens) == ("cached_prompts", 10_000)
    assert lever.saves == Decimal(10_000) * (Decimal("0.1") - Decimal("0.01")) / 1_000_000


def test_a_log_without_a_time_or_a_lever_says_so(tmp_path: Path) -> None:
    assert recent_days(priced(tmp_path / "none", [{"input_tokens": 5, "output_tokens": 5}])) is None
    cheapest = call(0, provider_name="anthropic", model="claude-haiku-5-5")
    answer = found(priced(tmp_path / "one", [cheapest]))
    assert answer.lever is None
    assert answer.to_json()["days"][0]["day"] == date(2026, 6, 1).isoformat()
