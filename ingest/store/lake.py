"""A lake as a store: our tables as views over its immutable Parquet parts, and its small tables as they are.

Calls and their costs are one relation, so no two tables are read side by side. Small tables (files read, marks, own
prices, scores, token counts) are one DuckDB file, written anew as a whole by every change and named by its commit.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import duckdb

from ingest.errors import StoreBusyError, StoreError
from ingest.places.open_place import open_place
from ingest.store import lake_commits
from ingest.store.database import SETTINGS, Store, connect
from ingest.store.failures import query_failure
from ingest.store.lake_commits import LakeState
from ingest.store.lake_parts import BIG, define_views
from ingest.store.schema import SCHEMA_VERSION, TABLES


class LakeStore(Store):
    """A handle on the lake at `address`. Each reading sees one commit, whatever is committed meanwhile."""

    priced_at_commit = True

    def __init__(self, address: str, *, buckets: int = lake_commits.BUCKETS, changes: Path | None = None) -> None:
        self.place = open_place(address)
        self.path = Path(address)
        self.buckets = buckets  # of a lake that is made
        self.changes = changes  # a file of this machine that takes what is written, in place of the lake
        self._state: LakeState | None = None

    @property
    def address(self) -> str:
        """Where the lake lies, as the user wrote it and messages name it."""
        return self.place.address

    @cached_property
    def _kept(self) -> tempfile.TemporaryDirectory[str]:
        """Where the small tables of an object store are kept while this handle lives."""
        return tempfile.TemporaryDirectory(prefix="hindcast-lake-")

    def state(self) -> LakeState | None:
        """What the lake holds now; None where there is none."""
        self._state = lake_commits.newest(self.place, self._state)
        return self._state

    def exists(self) -> bool:
        """Whether there is a commit."""
        return self.state() is not None

    def require_rewritable(self, what: str) -> None:
        """Raises StoreError: parts are never written again."""
        raise StoreError(
            f"{what} changes stored calls, and those of a lake stay as they were written",
            where=self.address,
            remedy="Take what you need into a file and work there: hindcast store pull -o calls.duckdb",
        )

    def upgrade(self) -> None:
        """Nothing: a lake is of the schema that its commits say."""

    def publish_number(self) -> int:
        """The number of the newest commit, counted from 1; 0 where there is no lake."""
        state = self.state()
        return 0 if state is None else state.commit.number + 1

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the newest commit. Raises StoreError if there is no lake."""
        state = self.state()
        if state is None:
            raise StoreError(
                f"there is no store at {self.address}",
                remedy=f"Make one with: hindcast ingest PATH --store {self.address}",
            )
        with self.at(state) as con:
            yield con

    @contextmanager
    def at(self, state: LakeState) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to what a state names: nothing in it can be changed but what is temporary."""
        with self._connection() as con:
            con.execute(f"ATTACH {_quoted(self._side(state.commit.side))} AS side (READ_ONLY)")
            for name in _tables(con, "side"):
                con.execute(f'CREATE VIEW "{name}" AS SELECT * FROM side.main."{name}"')
            define_views(con, self.place, state)
            yield con

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One change of the small tables, committed on leaving. Raises StoreBusyError where another came first."""
        state = self.state() or self.make()
        with self.change(state) as con:
            yield con
            if self.changes is not None:
                _save_tables(con, self.changes)
                return
            commit = lake_commits.following(state, side=self.save_side(con, state.commit.number + 1))
        if lake_commits.add(self.place, state, commit) is None:
            raise StoreBusyError(
                f"another program has written to {self.address} meanwhile; nothing was changed",
                remedy="Run the same command again.",
            )

    @contextmanager
    def change(self, state: LakeState) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in which the small tables of a state can be changed; `save_side` keeps what they became."""
        with self._connection() as con:
            con.execute(f"ATTACH {_quoted(self._side(state.commit.side))} AS side (READ_ONLY)")
            for name in _tables(con, "side"):
                con.execute(f'CREATE TABLE "{name}" AS SELECT * FROM side.main."{name}"')
            con.execute("DETACH side")
            define_views(con, self.place, state)
            con.execute("BEGIN")
            try:
                yield con
            except duckdb.Error as error:
                if _changes_calls(error):
                    self.require_rewritable("this")
                raise

    def make(self) -> LakeState:
        """Make the lake. Raises StoreError where two writers could undo each other there."""
        with self._connection() as con:
            for name, columns in TABLES.items():
                if name not in BIG:
                    con.execute(f"CREATE TABLE {name} ({columns})")
            con.execute(
                "INSERT INTO meta VALUES ('schema_version', ?::VARCHAR), ('publish', '0')", [str(SCHEMA_VERSION)]
            )
            con.execute("BEGIN")
            made = lake_commits.first(self.place, self.save_side(con, 0), buckets=self.buckets)
        found = made or self.state()
        assert found is not None
        return found

    def save_side(self, con: duckdb.DuckDBPyConnection, number: int) -> str:
        """Write the small tables as they are on a connection of `change`, and end it; the name of the object."""
        con.execute("UPDATE meta SET value = $number WHERE key = 'publish'", {"number": str(number + 1)})
        name = f"side/{number:012}-{secrets.token_hex(6)}.duckdb"
        with tempfile.TemporaryDirectory(prefix="hindcast-lake-") as folder:
            path = Path(folder) / "side.duckdb"
            _save_tables(con, path)
            self.place.write(name, path.read_bytes())
        return name

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        con = connect()
        try:
            con.execute(SETTINGS)
            yield con
        except duckdb.Error as error:
            raise query_failure(error, self.path) or error from error
        finally:
            with suppress(duckdb.Error):
                con.close()

    def _side(self, name: str) -> Path:
        """The small tables as a file of this machine."""
        if self.changes is not None and self.changes.exists():
            return self.changes
        path = self.place.file(name)
        if path is not None:
            return path
        path = Path(self._kept.name) / Path(name).name
        if not path.exists():
            part = path.with_suffix(f".{secrets.token_hex(4)}")
            part.write_bytes(self.place.read(name))
            part.replace(path)
        return path


def _save_tables(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Commit, and write the tables of a connection to a file, which appears whole."""
    con.execute("COMMIT")
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    con.execute(f"ATTACH {_quoted(part)} AS saved (BLOCK_SIZE 16384)")
    for table in _tables(con, "memory"):
        con.execute(f'CREATE TABLE saved.main."{table}" AS SELECT * FROM memory.main."{table}"')
    con.execute("DETACH saved")
    part.replace(path)


def _tables(con: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    rows = con.execute(
        """SELECT table_name FROM duckdb_tables() WHERE database_name = $name AND NOT temporary ORDER BY table_oid""",
        {"name": database},
    ).fetchall()
    return [name for (name,) in rows]


def _changes_calls(error: duckdb.Error) -> bool:
    """Whether a statement failed because what it changes is a view here."""
    text = str(error)
    return isinstance(error, duckdb.CatalogException | duckdb.BinderException) and (
        "type View" in text or "base table" in text or " is not an table" in text
    )


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
