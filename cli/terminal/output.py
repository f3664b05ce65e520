"""What commands print: one JSON document on stdout with --json, else an answer, a table and the next step.

Everything that is not the result (progress, warnings, errors) goes to stderr.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from typing import Annotated, Any, NamedTuple

import typer

from cli.terminal.text_tables import UNBOUNDED, fitting, lay_out
from ingest.errors import HindcastError
from ingest.progress import Progress

DEFAULT_STORE = "hindcast.duckdb"


class Window(NamedTuple):
    """The first and last UTC day that a command was asked for; None where it is open."""

    since: date | None
    until: date | None


class OutputFailedError(HindcastError):
    """What a command prints cannot be written."""


requested_window: ContextVar[Window | None] = ContextVar("requested_window", default=None)


def store_or_global(context: typer.Context, value: str) -> str:
    """For --store of a command: `hindcast --store X cost` means that store too."""
    given = [one.get_parameter_source("store") for one in (context, context.find_root())]
    named = [source is not None and source.name == "COMMANDLINE" for source in given]
    return str(context.find_root().params["store"]) if named == [False, True] else value


def json_or_global(context: typer.Context, value: bool) -> bool:
    """For --json of a command: `hindcast --json cost` means it too."""
    return value or bool(context.find_root().params.get("json"))


StoreOption = Annotated[
    str,
    typer.Option(
        "--store", envvar="HINDCAST_STORE", callback=store_or_global, help="The DuckDB file that holds the calls."
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", callback=json_or_global, help="One JSON document on stdout; everything else on stderr."),
]


def named_store(store: str) -> str | None:
    """The store as a pasted command must name it; None where the command finds it by itself."""
    return None if store == os.environ.get("HINDCAST_STORE", DEFAULT_STORE) else store


# Unicode's categories Cc, Cf, Cs, Zl and Zp: what moves the cursor, turns the direction or shows nothing. Without the
# line feed, the tab, and the joiner where an emoji follows.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200c\u200e\u200f"
    "\u2028-\u202e\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
    "|\u200d(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)


def safe(text: str) -> str:
    """Text of a log as a terminal may have it: control and direction characters and lone surrogates are escaped."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def emit_json(document: Any) -> None:
    """Write one JSON document. Keys keep their order, so equal input gives equal bytes.

    Where days were asked for, an object says last which they were, as ISO dates.
    """
    window = requested_window.get()
    if window is not None and isinstance(document, dict):
        document = {**document, "window": window._asdict()}
    unicode = sys.stdout.encoding.lower().replace("-", "").startswith("utf")
    text = json.dumps(document, indent=2, ensure_ascii=not unicode, default=str)
    write(_UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")


def write(text: str) -> None:
    """Write text on stdout as it is. Raises OutputFailedError."""
    with told_where_it_fails():
        sys.stdout.write(text)


def flush() -> None:
    """Write what was held back on stdout. Raises OutputFailedError."""
    with told_where_it_fails():
        sys.stdout.flush()


@contextmanager
def told_where_it_fails() -> Iterator[None]:
    """Raises OutputFailedError where stdout takes nothing more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailedError(
            f"standard output cannot be written: {error.strerror}", remedy="What the command did to the store stands."
        ) from error


def say(text: str = "", *, style: str | None = None) -> None:
    """Print a line of the answer. The text is data: never markup."""
    _write(safe(text), style)


def note(text: str) -> None:
    """A remark on stderr."""
    print(safe(text), file=sys.stderr)


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,), optional: Sequence[int] = ()
) -> None:
    """A plain table; the columns in `left` read from the left, all others are figures and align right.

    In a pipe a row is one line, however long, unless COLUMNS says how wide. Where a terminal is too narrow, the columns
    in `optional` are left out, the first of them first, before texts fold; a line says so.
    """
    lines = [[safe(cell).replace("\n", "\\n").replace("\t", "\\t") for cell in line] for line in (headers, *rows)]
    width = shutil.get_terminal_size((UNBOUNDED, 24)).columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 0
    columns, left_out = fitting(lines, optional, width or UNBOUNDED)
    kept = [[line[i] for i in columns] for line in lines]
    aligned = [place for place, i in enumerate(columns) if i in left]
    for text, is_header in lay_out(kept[0], kept[1:], left=aligned, width=width or UNBOUNDED):
        _write(text, "dim" if is_header else None)
    if left_out:
        _write(f"Left out at this width: {', '.join(lines[0][i] for i in left_out)}", "dim")


def _write(text: str, style: str | None) -> None:
    if style is None or not sys.stdout.isatty():  # rich takes longer to import than most answers
        write(text + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    Console(file=sys.stdout, highlight=False).print(Text(text, style=style), soft_wrap=True)


class _Silent:
    def advance(self, amount: float) -> None: ...

    def total(self, amount: float) -> None: ...


@contextmanager
def progress(label: str, unit: str = "B") -> Iterator[Progress]:
    """A progress bar with rate and time left on stderr, on a terminal only."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
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

    count = [DownloadColumn(), TransferSpeedColumn()] if unit == "B" else [MofNCompleteColumn()]
    bar = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        *count,
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=None)

        class _Bar:
            def advance(self, amount: float) -> None:
                bar.advance(task, amount)

            def total(self, amount: float) -> None:
                bar.update(task, total=amount)

        yield _Bar()
