"""Whatever is not known (model, tier, token kind, usage, size) is NULL and counted, never a cost of zero."""

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

from analysis.ledger.costs_view import NULL_STATUSES
from analysis.ledger.ledger import update
from analysis.price_book.vocabulary import KINDS, STATUSES, TIERS, TOOLS, UNPRICED
from analysis.pricing.rate_table import Rate, RateTable, Usage
from analysis.reports.cost import cost

prices = st.one_of(st.none(), st.integers(1, 10**11))
rows = st.lists(
    st.builds(
        Rate,
        price_id=st.integers(0, 9),
        tier=st.sampled_from(TIERS[:-1]),
        rates=st.tuples(*[prices for _ in KINDS]),
        upto_tokens=st.sampled_from([100, 2**62]),
    ),
    max_size=2,
    unique_by=lambda rate: rate.tier,
)
KINDS_OF_USAGE = ("cache_read", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output",
                  "image_input", "image_output", "audio_cache_read", "web_search", *TOOLS)  # fmt: skip


@given(
    models=st.lists(rows, min_size=1, max_size=3),
    calls=st.lists(
        st.fixed_dictionaries(
            {
                "model": st.integers(-1, 2),
                "tier": st.integers(0, len(TIERS) - 1),
                "input": st.integers(-1, 10**6),
                "output": st.integers(-1, 10**6),
                **{kind: st.integers(-1, 10**6) for kind in KINDS_OF_USAGE},
            }
        ),
        min_size=1,
        max_size=20,
    ),
)
@settings(max_examples=150)
def test_a_cost_is_zero_only_if_nothing_was_used(models: list[list[Rate]], calls: list[dict[str, int]]) -> None:
    """All prices here are above zero, so a priced call costs nothing only if it used no token and no tool."""
    table = RateTable.build(models, as_of_ms=0)
    known = [min(call["model"], len(models) - 1) for call in calls]
    arrays = {name: np.array([call[name] for call in calls]) for name in calls[0] if name not in ("model", "tier")}
    tiers = np.array([call["tier"] for call in calls], np.int8)
    times = np.zeros(len(calls), np.int64)
    priced = table.price(Usage(model=np.array(known, np.int32), tier=tiers, start_ms=times, **arrays))
    for i, call in enumerate(calls):
        status = STATUSES[priced.status[i]]
        unknown = status in NULL_STATUSES
        assert unknown == (priced.total[i] == UNPRICED)
        if not unknown:
            used = max(call["input"], 0) + max(call["output"], 0) + sum(max(call[kind], 0) for kind in TOOLS)
            assert priced.total[i] > 0 or used <= 10**4  # below a pico-dollar only for a handful of tokens
            assert known[i] >= 0
            assert any(rate.tier == TIERS[call["tier"]] for rate in models[known[i]])


def call(**columns: Any) -> dict[str, Any]:
    return {"start_time": datetime(2025, 6, 1), "input_tokens": 1000, "output_tokens": 100, **columns}


UNKNOWN_CALLS = {
    "unknown_model": call(model="nobody-knows"),
    "unknown_tier": call(service_tier="scale"),
    "unknown_kind": call(model="text-embedding-3-small"),  # embeddings have no output price
    "no_usage": call(output_tokens=None),
    "too_large": call(input_tokens=2**39, weight=Decimal("1000000")),
}


@pytest.mark.parametrize("status", UNKNOWN_CALLS)
def test_each_unknown_shows_in_every_total(status: str, tmp_path: Path) -> None:
    store = build_in_memory([call(), UNKNOWN_CALLS[status]])
    summary = update(store)
    assert summary.unpriced_calls == 1
    assert summary.statuses == {"priced": 1, status: 1}
    for by in ((), ("day",), ("model",), ("agent", "task")):
        report = cost(store, by)
        assert report.total["unpriced_calls"] >= 1
        assert report.total["cost_usd"] == Decimal("0.013")
        assert [item["cost_status"] for item in report.unpriced] == [status]


def test_a_model_whose_catalogue_price_is_empty_is_not_free(tmp_path: Path) -> None:
    """genai-prices holds gemma and Copilot's base models without any price, which it calculates as $0."""
    store = build_in_memory([call(provider_name="google", model="gemma-3-27b-it")])
    assert update(store).unpriced_models == {"google/gemma-3-27b-it": 1}


def test_a_free_model_is_zero_by_its_list_price(tmp_path: Path) -> None:
    name = "agentica-org/deepcoder-14b-preview:free"
    store = build_in_memory([call(provider_name="openrouter", model=name)])
    summary = update(store)
    assert (summary.cost_usd, summary.unpriced_calls) == (Decimal(0), 0)
