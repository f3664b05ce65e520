"""Tables that wait beside the store as Arrow files until a publish takes them in: written once, read once by mapping.

A column that is NULL in every row is left out of its file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.errors import StoreError

_PLACE = b"hindcast_segment"


def write_table(table: pa.Table, folder: Path, name: str, *, packed: bool = False) -> None:
    """Write `folder`/`name`.arrow, which says in itself where it belongs; `packed` with LZ4, for texts."""
    table = table.select([column for column in table.column_names if table[column].null_count < len(table)])
    table = table.replace_schema_metadata({_PLACE: _place(folder)})
    options = pa.ipc.IpcWriteOptions(compression="lz4") if packed else None
    with (
        pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema, options=options) as out,
    ):
        out.write_table(table)


def read_table(folder: Path, name: str, columns: tuple[str, ...] | None = None) -> pa.Table | None:
    """The table, or the named columns of it that its file holds; None where none was written.

    Raises StoreError if the file was not written for this folder, or not to its end.
    """
    path = folder / f"{name}.arrow"
    if not path.exists():
        return None
    try:
        source = pa.memory_map(str(path))
        found = pa.ipc.open_file(source)
    except pa.ArrowInvalid as error:
        raise not_as_staged(folder) from error
    if (found.schema.metadata or {}).get(_PLACE) != _place(folder):
        raise not_as_staged(folder)
    if columns is not None:
        wanted = [place for place, one in enumerate(found.schema.names) if one in columns]
        source.seek(0)
        found = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))
    return found.read_all()


def _place(folder: Path) -> bytes:
    """The ingest and the segment that a folder belongs to."""
    return f"{folder.parent.name}/{folder.name}".encode()


def not_as_staged(folder: Path) -> StoreError:
    """What is said of a segment that something else has touched: nothing of it may reach the store."""
    return StoreError(
        "what was parsed is not as this ingest left it; nothing of it was stored",
        where=str(folder),
        remedy="Leave the folder beside the store alone, and run the same command again.",
    )


def concatenated(tables: list[pa.Table]) -> pa.Table:
    """One below the other; a column that one of them lacks is NULL there."""
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables, promote_options="default")


def hash_columns(hashes: Iterable[bytes]) -> dict[str, pa.Array]:
    """16-byte hashes as two columns: `hi` (int64), the upper 64 bits, and `lo` (uint64), the lower ones."""
    halves = np.frombuffer(b"".join(hashes), dtype=[("hi", ">i8"), ("lo", ">u8")])
    return {
        "hi": pa.array(halves["hi"].astype(np.int64), pa.int64()),
        "lo": pa.array(halves["lo"].astype(np.uint64), pa.uint64()),
    }


class Block(NamedTuple):
    """The columns of plain calls of one piece. Its other calls are the single ones from `first` up to `end`."""

    first: int
    end: int
    table: pa.Table


def merged(single: pa.Table | None, blocks: list[Block]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """(all calls in order, the place among them of every single one)."""
    tables = [block.table for block in blocks]
    if single is None:
        return concatenated(tables), np.empty(0, dtype=np.int64)
    size = len(single)
    # pieces have odd numbers; what was read between two of them has the even one in between, and is in order
    piece = np.zeros(size, dtype=np.int64)
    row = np.zeros(size, dtype=np.int64)
    numbers = single["source_row"].to_numpy()
    for place, block in enumerate(blocks):
        piece[block.first : block.end] = 2 * place + 1
        piece[block.end :] = 2 * place + 2
        row[block.first : block.end] = numbers[block.first : block.end]
    pieces = [piece, *(np.full(len(table), 2 * place + 1) for place, table in enumerate(tables))]
    rows = [row, *(table["source_row"].to_numpy() for table in tables)]
    order = np.lexsort((np.concatenate(rows), np.concatenate(pieces)))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return concatenated([single, *tables]).take(pa.array(order)), places[:size]
