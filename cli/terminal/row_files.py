"""The rows of an answer as a file for other programs: `-o FILE` of the commands that list rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.terminal.output import note, write
from ingest.errors import InputError

if TYPE_CHECKING:
    import polars as pl

SUFFIXES: Final = (".csv", ".parquet")
STDOUT: Final = Path("-")


def known_suffix(value: Path | None) -> Path | None:
    """For an option: refuse an ending that names no form before anything is computed. Raises InputError."""
    if value is not None and value != STDOUT and value.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"-o {value}: '{value.suffix}' is no form of a table",
            remedy="End it in .csv or .parquet; - is CSV on stdout.",
        )
    return value


RowsOption = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", callback=known_suffix,
        help="Write every row to a .csv or .parquet file; - writes CSV to stdout.",
    ),
]  # fmt: skip


def write_rows(rows: pl.DataFrame, target: Path) -> None:
    """Write a frame as CSV or Parquet by the ending of `target`, or as CSV to stdout for `-`.

    In CSV, texts that a spreadsheet would run as a formula get a leading apostrophe. Raises InputError for a file that
    cannot be written.
    """
    try:
        if target.suffix.lower() == ".parquet":
            rows.write_parquet(target)
        elif target == STDOUT:
            write(_csv(rows))
            return
        else:
            target.write_text(_csv(rows), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", where=str(target)) from error
    note(f"Wrote {rows.height:,} rows to {target}.")


def _csv(rows: pl.DataFrame) -> str:
    import polars as pl

    from analysis.formatting import csv_text

    texts = [name for name, kind in rows.schema.items() if kind == pl.String]
    return rows.with_columns(pl.col(name).map_elements(csv_text, return_dtype=pl.String) for name in texts).write_csv(
        datetime_format="%Y-%m-%dT%H:%M:%S%.f"
    )
