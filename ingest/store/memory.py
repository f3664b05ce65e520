"""A store that lives in this process alone: nothing of it is written to a disk, and it ends with the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from ingest.store.database import SETTINGS, Store, connect


class MemoryStore(Store):
    """As Store, over one DuckDB database in memory. `path` is its name in messages, and where parsers stage segments:
    a file of a folder that the caller removes."""

    publish_memory = None  # the database itself is in that memory
    reads_again = False

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._database = connect()
        self._made = False

    def exists(self) -> bool:
        """Whether anything was written."""
        return self._made

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to what was written."""
        with self._connection() as con:
            yield con

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction: commits on leaving, rolls back on an exception."""
        with self._connection() as con:
            if not self._made:
                self._migrate(con)
                self._made = True
            con.execute("BEGIN")
            try:
                yield con
                con.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):
                    con.execute("ROLLBACK")
                raise

    def upgrade(self) -> None:
        """Nothing: it is of this program's schema."""

    def publish_number(self) -> int:
        """1 once something was written: it has one writer, which does not ask."""
        return int(self._made)

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        con = self._database.cursor()
        try:
            con.execute(SETTINGS)
            yield con
        finally:
            con.close()
