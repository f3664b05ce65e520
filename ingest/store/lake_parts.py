"""The parts of a lake: their columns, and the views through which they are our tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import duckdb

from ingest.places.place import Place
from ingest.store.schema import CALL_COLUMNS, HASH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.store.lake_commits import LakeState, Part

BIG: Final = ("calls", "contents", "request_keys")  # tables of which a lake holds parts
COMPLETED: Final = "completed"  # kind of the parts with texts of contents that an earlier part knows by hash alone
SPREAD: Final = "spread"  # the upper 16 bits of the hash that a call's bucket is told by
_MONEY = ("uncached_input", "cache_read", "cache_write", "output", "reasoning", "other", "cost")
SPREAD_COSTS: Final = "spread_costs"  # the view `costs` with that column beside, by which row groups are left out
LEDGER_COLUMNS: Final = {
    "price_id": "INTEGER", "cost_status": "VARCHAR", **{f"{name}_usd": "DECIMAL(18,12)" for name in _MONEY}
}  # fmt: skip
_CONTENTS = {"kind": "VARCHAR", "role": "VARCHAR", "text": "VARCHAR", "chars": "INTEGER", "words": "INTEGER"}
# columns of the parts of a kind; HUGEINT has no type in Parquet, so a hash is two halves
COLUMNS: Final[dict[str, dict[str, str]]] = {
    "calls": {
        "hi": "BIGINT", "lo": "UBIGINT", SPREAD: "USMALLINT",
        **{name: kind for name, kind in CALL_COLUMNS.items() if name != "call_key"}, **LEDGER_COLUMNS,
    },
    "contents": {"content_id": "INTEGER", "hi": "BIGINT", "lo": "UBIGINT", "bare": "BOOLEAN", **_CONTENTS},
    "keys": {"hi": "BIGINT", "lo": "UBIGINT", "key_id": "INTEGER"},
}  # fmt: skip


def define_views(con: duckdb.DuckDBPyConnection, place: Place, state: LakeState) -> None:
    """Let the parts of a state be the tables `calls`, `ledger`, `contents` and `request_keys` and the view `costs`."""
    calls = _scan(con, place, state, "calls")
    names = [f"{HASH} AS call_key" if name == "call_key" else f'"{name}"' for name in CALL_COLUMNS]
    own = list(LEDGER_COLUMNS)
    con.execute(f"CREATE OR REPLACE VIEW calls AS SELECT {', '.join(names)} FROM {calls}")
    if state.of("calls"):  # without calls nothing was priced
        con.execute(f"CREATE OR REPLACE VIEW ledger AS SELECT call_no, {', '.join(own)} FROM {calls}")
        con.execute(f"CREATE OR REPLACE VIEW costs AS SELECT {', '.join([*names, *own])} FROM {calls}")
        con.execute(f"CREATE OR REPLACE VIEW {SPREAD_COSTS} AS SELECT {', '.join([*names, *own, SPREAD])} FROM {calls}")
    contents = _scan(con, place, state, "contents")
    if state.of(COMPLETED):
        whole = _scan(con, place, state, COMPLETED)
        bare = f"SELECT * FROM {contents} WHERE content_id NOT IN (SELECT content_id FROM {whole})"
        contents = f"({bare} UNION ALL SELECT * FROM {whole})"
    con.execute(
        f"CREATE OR REPLACE VIEW contents AS SELECT content_id, {HASH} AS hash, {', '.join(_CONTENTS)} FROM {contents}"
    )
    keys = _scan(con, place, state, "keys")
    con.execute(f"CREATE OR REPLACE VIEW request_keys AS SELECT {HASH} AS hash, key_id FROM {keys}")


def _scan(con: duckdb.DuckDBPyConnection, place: Place, state: LakeState, kind: str) -> str:
    """SQL of a relation with the rows of all parts of a kind."""
    parts = state.of(kind)
    kind = "contents" if kind == COMPLETED else kind
    if not parts:
        columns = ", ".join(f'NULL::{of} AS "{name}"' for name, of in COLUMNS[kind].items())
        return f"(SELECT {columns} WHERE false)"
    return scan(con, place, parts)


def scan(con: duckdb.DuckDBPyConnection, place: Place, parts: Sequence[Part]) -> str:
    """SQL of a relation with the rows of some parts of one kind."""
    files = [place.file(part.name) for part in parts]
    paths = [str(path) for path in files if path is not None]
    if len(paths) < len(parts):
        paths = _remote(con, place, [part.name for part in parts])
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"read_parquet([{quoted}])"


def _remote(con: duckdb.DuckDBPyConnection, place: Place, names: list[str]) -> list[str]:
    """Let a connection read objects of a place by ranges; the paths by which it does."""
    from ingest.store.lake_files import SCHEME, LakeFiles

    with_place: Any = LakeFiles(place)
    if not con.filesystem_is_registered(SCHEME):
        con.register_filesystem(with_place)
    return [f"{SCHEME}://{name}" for name in names]
