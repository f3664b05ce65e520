"""Builds small stores for tests straight from rows, without going through a log file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ingest.schema import CALL_COLUMNS
from ingest.store import Store

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
    names = list(CALL_COLUMNS)
    rows = []
    for number, call in enumerate(calls):
        unknown = set(call) - set(names)
        assert not unknown, unknown
        row = {"call_no": number, "call_key": number, "source_row": number + 1, **DEFAULTS, **call}
        row.setdefault("request_model", row["model"])
        rows.append([row.get(name) for name in names])
    marks = ", ".join(f"?::{kind}" for kind in CALL_COLUMNS.values())
    with store.write() as con:
        if rows:
            con.executemany(f"INSERT INTO calls VALUES ({marks})", rows)
    return store
