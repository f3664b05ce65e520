"""What DuckDB's errors mean for the person whose store it is."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from ingest.errors import StoreError
from ingest.store.schema import TABLES

_FULL = ("no space", "disk full", "could not write", "file too large", "quota exceeded")
_NO_TABLE = re.compile(r"Table with name (\w+) does not exist")
# raised for bytes that are not as DuckDB wrote them; `duckdb.Error` itself, for a checksum that does not match
_DAMAGE = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException, duckdb.SerializationException)


def newer(path: Path, detail: str) -> StoreError:
    """For a store that a later version of this program, or of DuckDB, has written."""
    return StoreError(
        f"written by a newer version ({detail})",
        where=str(path),
        remedy="Upgrade llm-hindcast, or name another --store.",
    )


def newer_lake(address: str, layout: int) -> StoreError:
    """For a lake of a layout that a later version of this program has made."""
    return StoreError(
        f"written by a newer version (lake layout {layout})", where=address, remedy="Upgrade llm-hindcast."
    )


def opening_failure(error: duckdb.Error, path: Path) -> StoreError:
    """For an error on opening or writing the file at `path`."""
    text = str(error).splitlines()[0]
    lower = text.lower()
    if path.is_dir():
        return StoreError("a folder, not a store", where=str(path), remedy="Name a file: --store calls.duckdb")
    if any(sign in lower for sign in _FULL):
        return StoreError(
            f"the disk is full; {path} keeps everything published before", remedy="Free space and run again."
        )
    if any(sign in lower for sign in ("not a valid duckdb", "magic bytes", "extension")):  # SQLite's needs one
        return StoreError("this file is not a Hindcast store", where=str(path), remedy="Name another --store.")
    if "version" in lower and ("storage" in lower or "newer" in lower):
        return newer(path, text)
    if _damaged(error):
        return _damage(text, path)
    return StoreError(f"the store cannot be opened: {text}", where=str(path))


def query_failure(error: duckdb.Error, path: Path) -> StoreError | None:
    """For an error of a statement on the open store; None where the statement is at fault, not the store.

    A table that only pricing makes is missing where an ingest was ended between storing its calls and pricing them.
    """
    text = str(error).splitlines()[0] if str(error) else ""
    missing = _NO_TABLE.search(text)
    if isinstance(error, duckdb.CatalogException) and missing:
        if missing[1] in TABLES:
            return _damage(f"the table {missing[1]} is missing", path)
        return StoreError("the calls have no cost yet", where=str(path), remedy="Run: hindcast reprice")
    if any(sign in text.lower() for sign in _FULL):
        return opening_failure(error, path)
    return _damage(text, path) if _damaged(error) else None


def _damaged(error: duckdb.Error) -> bool:
    return type(error) is duckdb.Error or isinstance(error, _DAMAGE)


def _damage(text: str, path: Path) -> StoreError:
    return StoreError(
        f"the store is damaged: {text}",
        where=str(path),
        remedy="Restore the file from a copy, or make it anew: hindcast ingest LOGS --store NEW.duckdb",
    )
