"""The user's own prices as the store holds them; what they mean is `analysis.pricing.overrides`, loaded where there
are any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb

from analysis.price_book.vocabulary import KINDS

if TYPE_CHECKING:
    from analysis.pricing.overrides import Override

_PRICE_COLUMNS = ", ".join(f"{kind} DECIMAL(18,9)" for kind in KINDS)
CREATE_OVERRIDES = f"""
    CREATE TABLE IF NOT EXISTS price_overrides (
        override_id INTEGER, provider VARCHAR, model VARCHAR, account VARCHAR, agent VARCHAR, tier VARCHAR,
        effective_from DATE, effective_until DATE, kind VARCHAR, {_PRICE_COLUMNS}, multiplier DECIMAL(18,9),
        per_hour DECIMAL(18,9), basis VARCHAR, note VARCHAR)
"""


def load_overrides(con: duckdb.DuckDBPyConnection) -> list[tuple[int, Override]]:
    """Every override in the order it was set."""
    tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if "price_overrides" not in tables:
        return []
    rows = con.execute(
        f"""SELECT override_id, provider, model, account, agent, tier, effective_from, effective_until, kind,
                   multiplier, per_hour, basis, note, {", ".join(KINDS)} FROM price_overrides ORDER BY override_id"""
    ).fetchall()
    if not rows:
        return []
    from analysis.pricing.overrides import make

    return [
        (
            row[0],
            make(
                match=dict(zip(("provider", "model", "account", "agent"), row[1:5], strict=True)),
                tier=row[5], start=row[6], end=row[7], zero=row[8] == "zero", multiplier=row[9], per_hour=row[10],
                basis=row[11], note=row[12] or "", **dict(zip(KINDS, row[13:], strict=True)),
            ),
        )
        for row in rows
    ]  # fmt: skip


def need_agent_or_account(overrides: Sequence[tuple[int, Override]]) -> bool:
    """Whether the price of a call depends on more than its provider and model."""
    return any(item.match.agent is not None or item.match.account is not None for _, item in overrides)
