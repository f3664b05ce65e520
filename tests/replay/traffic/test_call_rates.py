"""A moved call costs what the ledger charges for such a call at its new model, in its region and at its own prices."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

from builder import build_store

from analysis.ledger.ledger import update
from analysis.pricing.overrides import Override, parse_override
from analysis.pricing.stored_overrides import store_overrides
from ingest.store.database import Store
from replay.engine.run import run
from replay.strategy.schema import parse

BEFORE, AFTER = "claude-opus-4-6", "claude-sonnet-4-6"


def log(path: Path, model: str) -> Store:
    """Calls in every region of every agent and team, with odd token counts."""
    rows: list[dict[str, Any]] = []
    places = product((None, "us", "global"), ("writer", "planner"), (None, "red", "blue"))
    for number, (region, agent, team) in enumerate(places):
        at = datetime(2026, 6, 1) + timedelta(hours=4 * number)
        rows.append(
            {"start_time": at, "provider_name": "anthropic", "model": model,
             "region": region, "agent": agent, "team": team, "task": "draft", "input_tokens": 1001 + number,
             "output_tokens": 77}
        )  # fmt: skip
    return build_store(path, rows)


def priced(path: Path, model: str, overrides: list[Override]) -> Store:
    store = log(path, model)
    if overrides:
        with store.write() as con:
            store_overrides(con, overrides, replace_all=True)
    update(store)
    return store


def moved(store: Store) -> Decimal | None:
    """Dollars a day with every call at the other model, answers as long as logged."""
    policy = parse(f"name: other\nroute:\n  - {{default: {AFTER}}}\noutput_ratio: [{{model: {AFTER}, ratio: 1.0}}]\n")
    return run(store, [policy]).strategies[0].per_day()


def billed(store: Store) -> Decimal | None:
    return run(store, []).per_day()


def test_a_call_that_moves_stays_in_its_region(tmp_path: Path) -> None:
    paid = billed(priced(tmp_path / "b.duckdb", AFTER, []))
    assert paid is not None
    assert moved(priced(tmp_path / "a.duckdb", BEFORE, [])) == paid


def test_a_call_that_moves_has_the_prices_of_its_agent_and_account(tmp_path: Path) -> None:
    own = [
        parse_override(match={"model": "claude-*", "agent": "planner"}, multiplier="0.5"),
        parse_override(match={"model": AFTER, "account": "red"}, input="7", output="9"),
    ]
    paid = billed(priced(tmp_path / "b.duckdb", AFTER, own))
    assert paid is not None
    assert moved(priced(tmp_path / "a.duckdb", BEFORE, own)) == paid
