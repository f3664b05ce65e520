"""Logs in Parquet: large ones are read by their row groups, so that several tasks share one object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.detect.file_format import Recognised, recognise
from ingest.errors import InputError
from ingest.format_contract import Format
from ingest.formats import format_named
from ingest.lake.objects import open_table
from ingest.places.place import Place

_SAMPLE = 200  # rows by which a format is told


def recognise_parquet(
    place: Place, name: str, folder: Path, mapping: Any, forced: Format | None
) -> tuple[Recognised, list[int]] | None:
    """(format, bytes of each row group) of an object without fetching it; None for what is no Parquet or of no known
    format. There are no row groups where the format's rows must be read in one go."""
    try:
        with open_table(place, name) as source:
            sizes = [source.metadata.row_group(n).total_byte_size for n in range(source.metadata.num_row_groups)]
            first = next(source.iter_batches(batch_size=_SAMPLE), None)
            head = folder / Path(name).name
            pq.write_table(pa.Table.from_batches([] if first is None else [first], source.schema_arrow), head)
        known = recognise(head, mapping=mapping, forced=forced)
    except (pa.ArrowInvalid, InputError):
        return None
    apart = mapping is not None or (known.format is not None and format_named(known.format).splittable)
    return known, sizes if apart else []


def write_groups(place: Place, name: str, start: int, end: int, path: Path) -> int:
    """Write the row groups from `start` up to `end` as a file; how many rows."""
    with open_table(place, name) as source:
        with pq.ParquetWriter(path, source.schema_arrow, compression="none") as out:
            for group in range(start, end):
                out.write_table(source.read_row_group(group))
        return sum(source.metadata.row_group(group).num_rows for group in range(start, end))
