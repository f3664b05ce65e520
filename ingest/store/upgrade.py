"""Bringing a store of an older schema up to this one, in place and in one transaction."""

from __future__ import annotations

import re

import duckdb

from ingest.errors import StoreError
from ingest.store.schema import CALL_COLUMNS, SCHEMA_VERSION, TABLES

# tables whose rows follow from `calls` by the rules of the program that wrote them
_DERIVED = ("ledger", "inferred_cache_reads", "hidden_cache")


def upgrade(con: duckdb.DuckDBPyConnection) -> None:
    """Add the tables and columns that the schema has and the store lacks; what is new in old rows is NULL.

    The ledger is dropped, as prices may depend on columns that it did not know: the next pricing makes it anew.
    Raises StoreError, with the store as it was, where its tables are not those of an older schema.
    """
    con.execute("BEGIN")
    try:
        con.execute("DROP VIEW IF EXISTS costs")
        for name in _DERIVED:
            con.execute(f"DROP TABLE IF EXISTS {name}")
        for name, columns in TABLES.items():
            con.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        for name, kind in CALL_COLUMNS.items():
            con.execute(f'ALTER TABLE calls ADD COLUMN IF NOT EXISTS "{name}" {kind}')
        con.execute("UPDATE meta SET value = $version WHERE key = 'schema_version'", {"version": str(SCHEMA_VERSION)})
        con.execute("COMMIT")
    except duckdb.CatalogException as error:
        con.execute("ROLLBACK")
        raise StoreError(
            f"an older store that cannot be brought up to date: {str(error).splitlines()[0]}",
            remedy="Make it anew: hindcast ingest LOGS --store NEW.duckdb",
        ) from error


def version(con: duckdb.DuckDBPyConnection) -> int | None:
    """The schema that a store says it has; None where it is no store of this program or says no number."""
    try:
        rows = con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    said = rows[0][0] if len(rows) == 1 else None
    return int(said) if isinstance(said, str) and re.fullmatch(r"[0-9]{1,9}", said) else None
