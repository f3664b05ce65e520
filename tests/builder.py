"""Builds small stores for tests straight from rows, without going through a log file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.store.database import Store
from ingest.store.schema import CALL_COLUMNS

DEFAULTS: dict[str, Any] = {
    "source_id": 0,
    "provider_name": "openai",
    "model": "gpt-4-turbo",
    "tokens_source": "reported",
    "weight": 1,
    "status": "ok",
    "content_state": "absent",
}


def build_store(path: Path, calls: Iterable[Mapping[str, Any]]) -> Store:
    """A store with one row of `calls` per mapping; columns that a mapping leaves out get DEFAULTS or NULL."""
    store = Store(path)
    rows: dict[str, list[Any]] = {}
    made = []
    for number, call in enumerate(calls):
        unknown = set(call) - set(CALL_COLUMNS)
        assert not unknown, unknown
        row = {"call_no": number, "call_key": number, "source_row": number + 1, **DEFAULTS, **call}
        row.setdefault("request_model", row["model"])
        made.append(row)
    for name in CALL_COLUMNS:
        if any(row.get(name) is not None for row in made):
            rows[name] = [row.get(name) for row in made]
    with store.write() as con:
        if made:
            given = pa.table(rows)  # noqa: F841  read by DuckDB
            chosen = ", ".join(f"CAST({name} AS {CALL_COLUMNS[name]}) AS {name}" for name in rows)
            con.execute(f"INSERT INTO calls BY NAME SELECT {chosen} FROM given")
    return store
