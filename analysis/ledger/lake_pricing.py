"""How calls of a lake are priced: part by part as in a file, and once for what all of them together tell."""

from __future__ import annotations

import duckdb

from analysis.ledger import ledger
from analysis.ledger.inferred_cache_reads import infer
from ingest.store.database import Store


class LakePricing:
    """What `ingest.lake` needs of this layer."""

    def update(self, store: Store) -> None:
        """Price every call of a store that has no price."""
        ledger.update(store)

    def conclude(self, con: duckdb.DuckDBPyConnection) -> None:
        """Solve the cache reads that no log shows, from the costs of all calls."""
        infer(con)
