"""Builds small stores for tests straight from rows, without going through a log file."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from ingest.store.schema import CALL_COLUMNS

_NAMES = itertools.count()  # results are kept by the name of their store
DEFAULTS: dict[str, Any] = {
    "source_id": 0,
    "provider_name": "openai",
    "model": "gpt-4-turbo",
    "tokens_source": "reported",
    "weight": 1,
    "status": "ok",
    "content_state": "absent",
}


@functools.cache
def _empty() -> bytes:
    """A store without calls: made once, as making its tables takes longer than filling a small one."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "empty.duckdb")
        with store.write():
            pass
        return store.path.read_bytes()


def build_store(path: Path, calls: Iterable[Mapping[str, Any]]) -> Store:
    """A store with one row of `calls` per mapping; columns that a mapping leaves out get DEFAULTS or NULL."""
    store = Store(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(_empty())
    _fill(store, calls)
    return store


def build_in_memory(calls: Iterable[Mapping[str, Any]]) -> Store:
    """As build_store, for what needs no file: a file is opened at each read and write, which takes 25 ms."""
    store = MemoryStore(f"calls{next(_NAMES)}.duckdb")
    _fill(store, calls)
    return store


@functools.lru_cache(maxsize=4)
def in_memory(path: Path) -> MemoryStore:
    """The store of this name, kept in memory: asked again for the same path it is the same store."""
    return MemoryStore(path)


def _fill(store: Store, calls: Iterable[Mapping[str, Any]]) -> None:
    made = []
    used: set[str] = set()
    for number, call in enumerate(calls):
        used.update(call)
        row = {"call_no": number, "call_key": number, "source_row": number + 1, **DEFAULTS, **call}
        row.setdefault("request_model", row["model"])
        made.append(row)
    assert used <= set(CALL_COLUMNS), used - set(CALL_COLUMNS)
    used |= {"call_no", "call_key", "source_row", "request_model", *DEFAULTS}
    columns = {name: [row.get(name) for row in made] for name in CALL_COLUMNS if name in used}
    rows = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    with store.write() as con:
        if made:
            given = pa.table(rows)  # noqa: F841  read by DuckDB
            chosen = ", ".join(f"CAST({name} AS {CALL_COLUMNS[name]}) AS {name}" for name in rows)
            con.execute(f"INSERT INTO calls BY NAME SELECT {chosen} FROM given")
