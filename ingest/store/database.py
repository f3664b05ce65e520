"""The store: one native DuckDB file, with a sidecar lock that lets a dashboard read while an ingest writes.

Readers take the lock shared only while they open the file, query read-only and close. A writer takes it exclusively
for one short publish. DuckDB's own file lock still guards the bytes; the sidecar only gives both sides their turn, so
neither starves. A `kill -9` at any moment leaves the last committed publish.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import duckdb

from ingest import threads
from ingest.errors import OlderStoreError, StoreBusyError, StoreError
from ingest.store import file_lock, spill
from ingest.store.failures import newer, opening_failure, query_failure
from ingest.store.schema import SCHEMA_VERSION, TABLES
from ingest.store.upgrade import upgrade, version

READ_PATIENCE_S = 10.0
WRITE_PATIENCE_S = 60.0
DEFAULT_PATH = "hindcast.duckdb"
# Connections of one process share an instance, which a thread may meet before its Python functions are registered.
_OPENING = threading.Lock()
_BUSY = re.compile(r"Could not set lock|Conflicting lock|different configuration", re.IGNORECASE)
_HOLDER = re.compile(r"\(PID (\d+)\)")
SETTINGS = "SET TimeZone='UTC'; SET preserve_insertion_order=true; SET enable_progress_bar=false;"


# A file of another kind, or a query over one, would make DuckDB download an extension and run it.
_NOTHING_FETCHED = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


def connect(path: str | Path = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, or a database in memory, that loads no extension, on HINDCAST_THREADS threads."""
    own = threads.chosen()
    bound = {} if own is None else {"threads": own}
    place = {"temp_directory": spill.in_memory()} if str(path) == ":memory:" else {}
    return duckdb.connect(str(path), read_only=read_only, config={**_NOTHING_FETCHED, **bound, **place})


class Store:
    """A handle on the store at `path`. It keeps no connection: each `read` or `write` opens and closes one."""

    publish_memory: str | None = "300MB"  # what DuckDB may hold while calls are published; None: no bound of ours
    priced_at_commit = False  # whether calls never are without their costs, which are written with them
    reads_again = True  # whether a later ingest may meet the same files, and reads only what is new of them

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.name in ("", ".."):
            raise StoreError(
                f"{str(path)!r} names no file that could be a store", remedy="Name one: --store calls.duckdb"
            )

    @property
    def address(self) -> str:
        """Where the store is, as a person writes it."""
        return str(self.path)

    @property
    def whole(self) -> Store:
        """The store without any restriction of what is read of it: itself."""
        return self

    @property
    def restriction(self) -> str:
        """What the calls that are read have in common, as a person writes it; empty where all are read."""
        return ""

    def restrict(self, con: duckdb.DuckDBPyConnection) -> None:
        """Leave on a connection of `whole` the calls that this store reads."""

    def require_rewritable(self, what: str) -> None:
        """Raise StoreError where stored calls and their costs cannot be changed, as `what` does."""

    def exists(self) -> bool:
        """Whether there is a file at the path."""
        return self.path.exists()

    def cursor(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """A further connection beside one that `read` gave, for another thread; it sees the same calls."""
        return con.cursor()

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection. Raises StoreError if there is no store, StoreBusyError after 10 s of waiting."""
        if not self.exists():
            raise StoreError(
                f"there is no store at {self.path}",
                remedy="Make one with: hindcast ingest PATH   (or see the origin story: hindcast demo)",
            )
        with spill.beside(self.path):
            with self._gate(exclusive=False, patience=READ_PATIENCE_S):
                con = self._connect(read_only=True, patience=READ_PATIENCE_S)
            try:
                found = self._check_version(con)
                if found < SCHEMA_VERSION:
                    raise OlderStoreError(
                        f"written by an older version (store schema {found}; this program reads {SCHEMA_VERSION})",
                        where=str(self.path),
                        remedy="Bring it up to date, in place: hindcast reprice   (or ingest something into it)",
                    )
                yield con
            except duckdb.Error as error:
                raise query_failure(error, self.path) or error from error
            finally:
                with suppress(duckdb.Error):
                    con.close()

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One exclusive transaction: commits on leaving, rolls back on an exception, and counts the publish."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot create {self.path.parent}: {error.strerror}") from error
        with self._gate(exclusive=True, patience=WRITE_PATIENCE_S), spill.beside(self.path):
            if not self.exists():
                if self.path.is_symlink():
                    raise StoreError("a link that leads to no file", where=str(self.path))
                self._create()
            con = self._connect(read_only=False, patience=WRITE_PATIENCE_S)
            try:
                self._make_log()
                self._migrate(con)
                con.execute("BEGIN")
                try:
                    yield con
                    con.execute("UPDATE meta SET value = (value::BIGINT + 1)::VARCHAR WHERE key = 'publish'")
                    con.execute("COMMIT")
                except BaseException:
                    # a failed COMMIT has already ended the transaction
                    with suppress(duckdb.Error):
                        con.execute("ROLLBACK")
                    raise
            except duckdb.Error as error:
                # a commit whose checkpoint failed may stand in the log beside the store: whole, or not at all
                raise query_failure(error, self.path) or error from error
            finally:
                with suppress(duckdb.Error):
                    con.close()

    def upgrade(self) -> None:
        """Bring an older store up to this program's schema; nothing where there is none or it is up to date."""
        if not self.exists():
            return
        try:
            with self.read():
                return
        except OlderStoreError:
            with self.write():
                pass

    def publish_number(self) -> int:
        """Grows with every write: the cache key for anything computed from the store. 0 if there is no store."""
        if not self.exists():
            return 0
        with self.read() as con:
            return int(con.execute("SELECT value FROM meta WHERE key = 'publish'").fetchall()[0][0])

    # -- opening ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _gate(self, *, exclusive: bool, patience: float) -> Iterator[None]:
        """The sidecar lock. Never the store file itself: closing any handle on it would drop DuckDB's POSIX lock."""
        if not file_lock.AVAILABLE:  # pragma: no cover  DuckDB's own lock and the retries below must do
            yield
            return
        lock_path = self.path.with_name(self.path.name + ".lock")
        try:
            handle = file_lock.open_private(lock_path)
        except OSError as error:
            if not exclusive:  # a read-only folder: nobody can be writing here through us
                yield
                return
            raise StoreError(f"cannot write beside the store: {error.strerror}", where=str(lock_path)) from error
        with handle:
            if not file_lock.acquire(handle, exclusive=exclusive, patience_s=patience):
                raise self._busy(file_lock.holder(handle))
            yield

    def _connect(self, *, read_only: bool, patience: float) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + patience
        while True:
            try:
                with _OPENING:
                    con = connect(self.path, read_only=read_only)
                    con.execute(SETTINGS)
                return con
            except (duckdb.IOException, duckdb.ConnectionException, duckdb.SerializationException) as error:
                if not _BUSY.search(str(error)):
                    raise opening_failure(error, self.path) from error
                if time.monotonic() > deadline:
                    holder = _HOLDER.search(str(error))
                    raise self._busy(holder.group(1) if holder else None) from error
                time.sleep(random.uniform(0.005, 0.1))
            except duckdb.Error as error:
                raise opening_failure(error, self.path) from error

    def _busy(self, holder: str | None) -> StoreBusyError:
        who = f"process {holder}" if holder else "another process"
        return StoreBusyError(
            f"{who} is using the store {self.path}", remedy="Wait for it to finish, or use another --store."
        )

    # -- schema ----------------------------------------------------------------------------------------------------

    def _check_version(self, con: duckdb.DuckDBPyConnection) -> int:
        """The schema of the store. Raises StoreError if it is a newer one, or the file is no store."""
        found = version(con)
        if found is None:
            raise StoreError("a DuckDB file, but not a Hindcast store", where=str(self.path))
        if found > SCHEMA_VERSION:
            raise newer(self.path, f"store schema {found}, this program knows {SCHEMA_VERSION}")
        return found

    def _create(self) -> None:
        """A new store appears whole: a kill before its tables are committed leaves none."""
        fresh = self.path.with_name(self.path.name + ".new")
        for leftover in (fresh, fresh.with_name(fresh.name + ".wal")):
            leftover.unlink(missing_ok=True)
        try:
            with closing(connect(fresh)) as con:
                fresh.chmod(0o600)  # prompts are their owner's
                self._migrate(con)
            fresh.replace(self.path)
        except duckdb.Error as error:
            raise opening_failure(error, self.path) from error

    def _make_log(self) -> None:
        """Have DuckDB's log, which holds texts too, be no more readable than the store, from its first byte on."""
        mode = self.path.stat().st_mode & 0o666
        with suppress(OSError):  # DuckDB says itself where it cannot write
            os.close(os.open(self.path.with_name(self.path.name + ".wal"), os.O_WRONLY | os.O_CREAT, mode))

    def _migrate(self, con: duckdb.DuckDBPyConnection) -> None:
        """Create what is missing. A foreign or newer file is refused before anything is touched."""
        tables = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if tables:
            if self._check_version(con) < SCHEMA_VERSION:
                upgrade(con)
        else:
            con.execute("BEGIN")
            for name, columns in TABLES.items():
                con.execute(f"CREATE TABLE {name} ({columns})")
            con.execute(
                "INSERT INTO meta VALUES ('schema_version', ?::VARCHAR), ('publish', '0')", [str(SCHEMA_VERSION)]
            )
            con.execute("COMMIT")


def has_tables(con: duckdb.DuckDBPyConnection, *names: str) -> bool:
    """Whether all of these tables or views exist."""
    missing = set(names)
    for listed in ("table_name FROM duckdb_tables()", "view_name FROM duckdb_views()"):  # views take longer to list
        missing -= {row[0] for row in con.execute(f"SELECT {listed}").fetchall()}
        if not missing:
            return True
    return False


def columns_of(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """The columns of a table or view of this program, in order."""
    return [column[0] for column in con.execute(f'FROM "{table}" LIMIT 0').description or ()]
