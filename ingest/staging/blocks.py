"""Calls of one segment that came as columns and calls that came one by one, put in the order of their log."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ingest.staging.arrow_files import concatenated


class Block(NamedTuple):
    """The columns of plain calls of one piece. Its other calls are the single ones from `first` up to `end`."""

    first: int
    end: int
    table: pa.Table


def merged(single: pa.Table | None, blocks: list[Block]) -> tuple[pa.Table, Any]:
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
