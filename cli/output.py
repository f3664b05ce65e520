"""What commands print: one JSON document on stdout with --json, else an answer, a table and the next step.

Everything that is not the result (progress, warnings, errors) goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import typer

DEFAULT_STORE = "hindcast.duckdb"
StoreOption = Annotated[
    str, typer.Option("--store", envvar="HINDCAST_STORE", help="The DuckDB file that holds the calls.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; everything else on stderr.")]


class Progress(Protocol):
    """Reports long work: `advance` by units done, `total` when it becomes known."""

    def advance(self, amount: float) -> None: ...

    def total(self, amount: float) -> None: ...


def emit_json(document: Any) -> None:
    """Write one JSON document. Keys keep their order, so equal input gives equal bytes."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def say(text: str = "", *, style: str | None = None) -> None:
    """Print a line of the answer. The text is data: never markup."""
    if _plain(text):
        sys.stdout.write(text + "\n")
        return
    from rich.text import Text

    console().print(Text(text, style=style or ""), soft_wrap=True)


def note(text: str) -> None:
    """A remark on stderr."""
    print(text, file=sys.stderr)


def console() -> Any:
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _width())


def _width() -> int:
    return int(os.environ.get("COLUMNS", "110"))


def _plain(text: str) -> bool:
    """Whether rich would print the text as it is: then it is not imported, which takes longer than most answers."""
    return (not text or (max(text) < "\u0300" and text.isprintable())) and not sys.stdout.isatty()


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)) -> None:
    """A plain table; the columns in `left` read from the left, all others are figures and align right."""
    lines = [headers, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(headers))]
    widths[-1] = widths[-1] or 1
    fits = sum(widths) + 2 * len(widths) - 2 <= _width()
    if fits and all(_plain(cell) and cell == cell.strip() for line in lines for cell in line):
        for line in lines:
            cells = zip(line, widths, range(len(line)), strict=True)
            text = "  ".join(cell.ljust(wide) if index in left else cell.rjust(wide) for cell, wide, index in cells)
            sys.stdout.write(text + "\n")
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, header in enumerate(headers):
        grid.add_column(Text(header), justify="left" if index in left else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console().print(grid)


@contextmanager
def progress(label: str, unit: str = "B") -> Iterator[Progress]:
    """A progress bar with rate and time left on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as RichProgress

    shown = sys.stderr.isatty()
    count = [DownloadColumn(), TransferSpeedColumn()] if unit == "B" else [MofNCompleteColumn()]
    bar = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        *count,
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
        disable=not shown,
    )
    with bar:
        task = bar.add_task(label, total=None)

        class _Bar:
            def advance(self, amount: float) -> None:
                bar.advance(task, amount)

            def total(self, amount: float) -> None:
                bar.update(task, total=amount)

        yield _Bar()
