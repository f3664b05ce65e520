"""Tables as Parquet objects of a lake, grouped by an integer column so that one value of it is read alone."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.places.objects import ObjectStore, RangedFile
from ingest.places.place import Place


def write_table(place: Place, name: str, table: pa.Table, by: str | None = None) -> int:
    """Write a table; with `by`, sorted by that column and each of its values in a row group of its own.

    The number of bytes. The same table gives the same bytes.
    """
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", compression_level=1) as out:
        if by is None:
            out.write_table(table)
        else:
            values = table[by].to_numpy()
            order = np.argsort(values, kind="stable")
            table, values = table.take(pa.array(order)).combine_chunks(), values[order]
            edges = np.concatenate([[True], values[1:] != values[:-1], [True]])
            starts = np.flatnonzero(edges).tolist() if len(values) else []
            for start, end in pairwise(starts):
                out.write_table(table.slice(start, end - start), row_group_size=1 << 40)
    data = sink.getvalue()
    place.write(name, data)
    return len(data)


def read_table(place: Place, name: str, columns: list[str] | None = None) -> pa.Table:
    """The table, or these of its columns."""
    with open_table(place, name) as source:
        return source.read(columns)


def open_table(place: Place, name: str) -> pq.ParquetFile:
    """A table whose row groups are read one by one."""
    return pq.ParquetFile(_file(place, name))


def read_group(place: Place, name: str, by: str, value: int) -> pa.Table | None:
    """The rows with this value of the column that the table was written by; None where there are none."""
    with open_table(place, name) as source:
        column = source.schema_arrow.get_field_index(by)
        for number in range(source.metadata.num_row_groups):
            told = source.metadata.row_group(number).column(column).statistics
            if told is not None and told.min == value:
                return source.read_row_group(number)
    return None


def _file(place: Place, name: str) -> Any:
    path = place.file(name)
    if path is not None:
        return str(path)
    assert isinstance(place, ObjectStore)
    size = place.size(name)
    if size is None:
        raise FileNotFoundError(name)
    return pa.PythonFile(RangedFile(place, name, size), mode="r")
