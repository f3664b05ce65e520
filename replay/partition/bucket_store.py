"""One part of a store's calls: those whose requests fall into a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from analysis.reports.restricted_store import RestrictedStore, keep_calls, main_table
from ingest.errors import InputError
from ingest.store.database import SETTINGS, Store, has_tables
from ingest.store.lake_parts import LEDGER_COLUMNS, SPREAD, SPREAD_COSTS
from ingest.store.schema import CALL_COLUMNS
from replay.traffic.prompts import Encodings

SPREADS: Final = 1 << 16  # values of the column that tells a lake's buckets apart


class BucketStore(RestrictedStore):
    """A store of which only the calls of one of `of` buckets are read, by whatever asks for `calls`.

    Calls with one canonical request are in one bucket, so the calls that share an answer in a cache are together. With
    `heads` they go by the first block of their prompts instead: prompts that begin differently share nothing in a
    provider's cache. Each connection gets a temporary view `calls` before the table of that name. The buckets of
    requests in a lake are those by which its parts are sorted, or whole halves of them.
    """

    def __init__(self, store: Store, bucket: int, of: int, heads: Encodings | None = None) -> None:
        if of < 1 or of > SPREADS or of & (of - 1):
            raise InputError(f"{of} is no number of buckets", remedy=f"It is a power of two up to {SPREADS}.")
        super().__init__(store)
        self.bucket = bucket
        self.of = of
        self.heads = heads
        self._kept: NDArray[np.int64] | None = None
        self._open: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def kept_open(self) -> Iterator[BucketStore]:
        """The store with one connection that all readings share: opening one is what a small part costs most."""
        with self._whole.read() as con:
            self._open = con
            try:
                yield self
            finally:
                self._open = None

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._open is None:
            with super().read() as con:
                yield con
            return
        with self.cursor(self._open) as con:
            con.execute(SETTINGS)
            yield con

    def restrict(self, con: duckdb.DuckDBPyConnection) -> None:
        """Keep the calls of the bucket."""
        if self.heads is not None:
            self._keep(con, self.heads)
            return
        if has_tables(con, SPREAD_COSTS):
            width = SPREADS // self.of
            here = f"{SPREAD} >= {self.bucket * width:d} AND {SPREAD} < {(self.bucket + 1) * width:d}"
            for name, columns in (("calls", CALL_COLUMNS), ("ledger", ("call_no", *LEDGER_COLUMNS))):
                listed = ", ".join(columns)
                con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {listed} FROM {SPREAD_COSTS} WHERE {here}")
            return
        con.execute(
            f"""CREATE OR REPLACE TEMP VIEW calls AS SELECT * FROM {main_table(con, "calls")}
                WHERE coalesce(key_canonical, call_no) % {self.of:d} = {self.bucket:d}"""
        )

    def _keep(self, con: duckdb.DuckDBPyConnection, heads: Encodings) -> None:
        """Leave the calls of the bucket by the heads of their prompts; they are told once."""
        whole = main_table(con, "calls")
        if self._kept is None:
            query = (
                f"SELECT call_no FROM ({_HEADS.format(calls=whole)}) WHERE hash(head) % {self.of:d} = {self.bucket:d}"
            )
            self._kept = con.execute(query, {"encoding": heads.hashed}).fetchnumpy()["call_no"]
        keep_calls(con, self._kept)


# by its hash where the log counts it, else by its number; a call without a prompt by its request
_HEADS = """
    SELECT call_no, key_canonical, CASE WHEN first IS NULL THEN hash(coalesce(key_canonical, call_no), 'no prompt')
        ELSE coalesce(hash(blocks[1]), hash(first, 'content')) END AS head
    FROM (SELECT call_no, key_canonical, coalesce(tools_id, message_ids[1]) AS first FROM {calls}) asked
    LEFT JOIN content_tokens counted ON counted.content_id = first AND counted.encoding = $encoding
"""


def heads_by_request(store: Store, heads: Encodings) -> bool:
    """Whether all calls with one canonical request begin with the same block; texts in NFC and NFD do not."""
    with store.read() as con:
        found = con.execute(
            f"""SELECT 1 FROM ({_HEADS.format(calls="calls")}) WHERE key_canonical IS NOT NULL
                GROUP BY key_canonical HAVING min(head) < max(head) LIMIT 1""",
            {"encoding": heads.hashed},
        ).fetchall()
    return not found
