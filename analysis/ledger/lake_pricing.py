"""How calls of a lake are priced: part by part as in a file, and once for what all of them together tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from analysis.ledger import ledger
from analysis.ledger.inferred_cache_reads import infer
from analysis.ledger.machine_hours import spread
from analysis.pricing.model_names import forget
from analysis.pricing.stored_overrides import load_overrides
from ingest.store.database import Store, has_tables
from ingest.store.lake import LakeStore

if TYPE_CHECKING:
    import pyarrow as pa

    from ingest.lake.executors import Executor
    from ingest.progress import Progress

_FEW: Final = 200_000  # calls that this process prices sooner than it starts others


class LakePricing:
    """What `ingest.lake` needs of this layer."""

    def update(self, store: Store) -> None:
        """Price every call of a store that has no price."""
        ledger.update(store)

    def forget(self, con: duckdb.DuckDBPyConnection) -> None:
        """Let all names be resolved anew."""
        forget(con)

    def shared(self, con: duckdb.DuckDBPyConnection) -> pa.Table | None:
        """Rows of the ledger, by rising number, of the calls that share the price of a machine's hours with others."""
        hourly = [number for number, item in load_overrides(con) if item.kind == "per_hour"]
        if not hourly:
            return None
        con.execute(
            """CREATE OR REPLACE TEMP TABLE ledger AS SELECT priced.* FROM memory.main.ledger priced
                 JOIN prices USING (price_id) WHERE override_id IN (SELECT unnest($hourly))""",
            {"hourly": hourly},
        )
        spread(con)
        found = con.sql("SELECT * FROM temp.ledger ORDER BY call_no").to_arrow_table()
        con.execute("DROP TABLE temp.ledger")
        return found

    def conclude(self, con: duckdb.DuckDBPyConnection) -> None:
        """Solve the cache reads that no log shows, from the costs of all calls."""
        infer(con)


def update_lake(
    store: Store, *, executor: Executor | None = None, progress: Progress | None = None, rebuild: bool = False
) -> ledger.LedgerSummary:
    """What is in a lake's ledger, which lacks no call; with `rebuild`, after all of them were priced anew.

    `executor` prices the parts: by default the processes of this machine.
    """
    assert isinstance(store, LakeStore)
    written = 0
    if rebuild:
        from ingest.lake.executors import Here, Processes
        from ingest.lake.reprice import reprice
        from ingest.pipeline.workers import count

        state = store.state()
        calls = sum(part.rows for part in state.of("calls")) if state else 0
        by = executor or (Here() if calls < _FEW else Processes(count(None)))
        written = reprice(store, by, LakePricing, progress)
    with store.read() as con:
        if not has_tables(con, "ledger"):
            return ledger.LedgerSummary(0, 0, None, None, 0)
        return ledger.summary(con, written)
