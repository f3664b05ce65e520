"""Pricing the calls of a store of either kind."""

from __future__ import annotations

from analysis.ledger import ledger
from analysis.ledger.lake_pricing import update_lake
from ingest.progress import Progress
from ingest.store.database import Store


def update(store: Store, *, progress: Progress | None = None, rebuild: bool = False) -> ledger.LedgerSummary:
    """As ledger.update; a lake, whose calls are priced when they are committed, lacks none."""
    if store.whole.priced_at_commit:
        return update_lake(store.whole, progress=progress, rebuild=rebuild)
    return ledger.update(store, progress=progress, rebuild=rebuild)
