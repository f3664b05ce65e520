"""Cache reads that a log does not show, solved from the cost that it does show.

Where a call has a logged cost and no cached-token count, `cached = (list cost - logged cost) / (input - cache price)`.
Providers count cached tokens on a grid (OpenAI: 128 tokens, prompt caching guide, 2024-10; DeepSeek: 64 tokens, context
caching guide, 2024-08), so a right solution is a whole multiple, and a wrong price hardly ever gives one. A model's
calls are accepted only if practically all of them lie on the grid; otherwise the gap is reported and nothing is fitted.
The ledger keeps the list cost; what was inferred stands beside it in `inferred_cache_reads`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis.formatting import usd

GRIDS: Final = {"openai": 128, "azure": 128, "deepseek": 64}  # by price provider
ACCEPTED_SHARE: Final = Decimal("0.99")
TOLERANCE_PICO: Final = 1000  # $1e-9: the float noise of a logged cost
CREATE: Final = """
    CREATE TABLE IF NOT EXISTS inferred_cache_reads (
        call_no BIGINT, price_id INTEGER, grid SMALLINT, cache_read_input_tokens BIGINT, effective_usd DECIMAL(18,12))
"""
CREATE_STUDY: Final = """
    CREATE TABLE IF NOT EXISTS hidden_cache (
        provider_name VARCHAR, model VARCHAR, grid SMALLINT, calls BIGINT, on_grid BIGINT, with_cache BIGINT,
        cached_tokens BIGINT, list_usd DECIMAL(38,12), logged_usd DECIMAL(38,12))
"""
_GRID = " ".join(f"WHEN '{provider}' THEN {grid}" for provider, grid in GRIDS.items())
_SOLVE = f"""
    WITH candidates AS (
        SELECT costs.call_no, costs.price_id, costs.provider_name, costs.model, input_tokens, cost_usd, logged_cost_usd,
               CASE prices.provider {_GRID} END AS grid,
               ((cost_usd - logged_cost_usd)::DECIMAL(38,12) * 1000000000000)::HUGEINT AS gap_pico,
               ((prices.input - prices.cache_read)::DECIMAL(38,9) * 1000000000)::HUGEINT AS saved_nano
        FROM costs JOIN prices USING (price_id)
        WHERE logged_cost_usd IS NOT NULL AND cache_read_input_tokens IS NULL AND cost_usd IS NOT NULL AND weight = 1
          AND cost_status IN ('priced', 'priced_fallback') AND prices.input > prices.cache_read
          AND prices.provider IN ({", ".join(f"'{name}'" for name in GRIDS)})
    ), solved AS (
        SELECT *, grid * round(gap_pico::DECIMAL(38,0) * 1000 / (saved_nano * grid))::BIGINT AS cached FROM candidates
    )
    SELECT *, abs(gap_pico * 1000 - cached * saved_nano) <= {TOLERANCE_PICO} * 1000
              AND cached BETWEEN 0 AND input_tokens AS on_grid
    FROM solved
"""
_STUDY = f"""
    SELECT provider_name, model, max(grid), count(*), count(*) FILTER (on_grid),
           count(*) FILTER (on_grid AND cached > 0), coalesce(sum(cached) FILTER (on_grid), 0),
           sum(cost_usd), sum(logged_cost_usd)
    FROM ({_SOLVE}) GROUP BY provider_name, model ORDER BY provider_name, model
"""


@dataclass(frozen=True)
class HiddenReads:
    """What was found for one logged model: calls with a solution, and list against effective cost."""

    provider: str | None
    model: str
    grid: int
    calls: int
    on_grid: int
    with_cache: int  # calls on the grid with more than zero cached tokens
    cached_tokens: int
    list_usd: Decimal
    logged_usd: Decimal

    @property
    def accepted(self) -> bool:
        """Whether the solution is taken into effective costs."""
        return Decimal(self.on_grid) >= ACCEPTED_SHARE * self.calls and self.with_cache > 0

    @property
    def factor(self) -> Decimal | None:
        """List cost over logged cost: how much list pricing overstates this model."""
        return self.list_usd / self.logged_usd if self.logged_usd else None

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings."""
        return {
            "provider": self.provider, "model": self.model, "grid": self.grid, "calls": self.calls,
            "on_grid": self.on_grid, "with_cache": self.with_cache, "accepted": self.accepted,
            "cached_tokens": self.cached_tokens if self.accepted else None, "list_usd": usd(self.list_usd),
            "logged_usd": usd(self.logged_usd), "factor": None if self.factor is None else f"{self.factor:.4f}",
        }  # fmt: skip


def infer(con: duckdb.DuckDBPyConnection) -> list[HiddenReads]:
    """Solve every call that can be solved and store what is accepted. Needs a connection that may write."""
    con.execute(CREATE)
    con.execute(CREATE_STUDY)
    con.execute("DELETE FROM inferred_cache_reads")
    con.execute("DELETE FROM hidden_cache")
    if not con.execute("SELECT count(logged_cost_usd) FROM calls").fetchall()[0][0]:
        return []
    con.execute(f"INSERT INTO hidden_cache {_STUDY}")
    found = study(con)
    for group in found:
        if group.accepted:
            con.execute(
                f"""INSERT INTO inferred_cache_reads
                    SELECT call_no, price_id, grid, cached, logged_cost_usd FROM ({_SOLVE})
                    WHERE on_grid AND provider_name IS NOT DISTINCT FROM ? AND model = ? ORDER BY call_no""",
                [group.provider, group.model],
            )
    return found


def study(con: duckdb.DuckDBPyConnection) -> list[HiddenReads]:
    """What the logged costs said of cached tokens at the last update of the ledger, by logged model."""
    try:
        rows = con.execute("SELECT * FROM hidden_cache ORDER BY provider_name, model").fetchall()
    except duckdb.CatalogException:  # never updated
        return []
    return [HiddenReads(*row) for row in rows]
