"""The models that the calls used and that have no price, by what hangs on them: dollars logged, else tokens."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from analysis.formatting import usd
from analysis.price_book.history import load_history
from analysis.price_book.rows import HISTORY
from ingest.store.database import Store, has_tables


@dataclass(frozen=True)
class UnpricedModel:
    """One (provider, model) as logged, with one status that says why its calls have no price."""

    provider: str | None
    model: str | None
    status: str
    calls: int
    tokens: int
    logged_usd: Decimal | None
    like: str | None  # the model that a plan's own name stands for, as others take it; for the user to decide

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings."""
        return {
            "provider": self.provider, "model": self.model, "cost_status": self.status, "calls": self.calls,
            "tokens": self.tokens, "logged_cost_usd": usd(self.logged_usd), "like": self.like,
        }  # fmt: skip


def unpriced_models(store: Store) -> list[UnpricedModel]:
    """Every model with calls of an unknown model, tier or kind: most dollars logged first, then most tokens."""
    with store.read() as con:
        if not has_tables(con, "ledger"):
            return []
        rows = con.execute(
            """SELECT provider_name, model, cost_status, count(*),
                      sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))::BIGINT, sum(logged_cost_usd)
               FROM costs WHERE cost_status IN ('unknown_model', 'unknown_tier', 'unknown_kind')
               GROUP BY ALL ORDER BY 6 DESC NULLS LAST, 5 DESC, 1, 2, 3"""
        ).fetchall()
    plans = {name.lower(): plan.like for plan in load_history(HISTORY).plan_models for name in plan.names}
    return [
        UnpricedModel(
            provider, model, status, calls, tokens, logged,
            plans.get((model or "").lower()) if status == "unknown_model" else None,
        )
        for provider, model, status, calls, tokens, logged in rows
    ]  # fmt: skip
