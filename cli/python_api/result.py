"""What all results of the API share: a sentence, a document, a frame, and how they show themselves."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import polars as pl

ROWS = 12  # of the table in a repr
LINES = 24
WIDTH = 110
CELL = 32


class Result(ABC):
    """A result of a function of `hindcast`.

    `str` and `repr` are its sentence and the first rows of its frame, at most 25 lines; a notebook shows the same as
    HTML, in which text from logs is escaped.
    """

    shown: ClassVar[tuple[str, ...]] = ()  # the columns of the frame that a repr has; all where empty
    requested_days: tuple[date | None, date | None] = (None, None)  # first and last UTC day that were asked for

    @property
    def heading(self) -> str:
        """What it is: the first line of a repr."""
        return type(self).__name__

    @property
    def summary(self) -> str:
        """The answer in a sentence or two, as the command prints it."""
        return ""

    @abstractmethod
    def document(self) -> Any:
        """The document of the command's `--json`, as its serialiser takes it."""

    @abstractmethod
    def to_frame(self) -> pl.DataFrame:
        """The rows of the result."""

    def to_dict(self) -> Any:
        """The document that the command prints with `--json`: dollars are decimal strings, days ISO text."""
        document, (since, until) = self.document(), self.requested_days
        if since or until:
            document = {**document, "window": {"since": since, "until": until}}
        return json.loads(json.dumps(document, default=str))

    def __repr__(self) -> str:
        from textwrap import wrap

        from cli.terminal.output import safe
        from cli.terminal.text_tables import lay_out

        lines = [line for text in (self.heading, self.summary) for line in wrap(safe(text), WIDTH)]
        names, rows, left, more = self._preview()
        if rows:
            cells = [[_short(safe(cell)) for cell in row] for row in rows]
            lines += ["", *(line for line, _ in lay_out(names, cells, left=left, width=WIDTH))]
        if len(lines) > LINES - bool(more):
            lines = [*lines[: LINES - 1], "..."]
        return "\n".join([*lines, *([more] if more else [])])

    def _repr_html_(self) -> str:
        from html import escape

        from cli.terminal.output import safe
        from dashboard.render.tables import Column, Table, html

        names, rows, left, more = self._preview()
        columns = tuple(
            Column(safe(name), lambda cell: safe(str(cell)), figure=place not in left)
            for place, name in enumerate(names)
        )
        parts = [f"<p>{escape(safe(self.summary))}</p>" if self.summary else ""]
        if rows:
            parts.append(html(Table(safe(self.heading), columns, tuple(tuple(row) for row in rows))))
        if more:
            parts.append(f"<p>{escape(more)}</p>")
        return "".join(parts)

    def _preview(self) -> tuple[list[str], list[list[str]], list[int], str]:
        """Headings, the first rows as text, which columns are text, and a line on what is left out."""
        frame = self.to_frame()
        if self.shown:
            frame = frame.select([name for name in self.shown if name in frame.columns])
        left = [place for place, dtype in enumerate(frame.dtypes) if not dtype.is_numeric()]
        rows = [[_text(value) for value in row] for row in frame.head(ROWS).rows()]
        hidden = frame.height - len(rows)
        more = f"... and {hidden:,} more row{'s' * (hidden > 1)}: .to_frame()" if hidden > 0 else ""
        return frame.columns, rows, left, more


class Rows(Result):
    """A part of a result: a list of the document, with its frame."""

    def __init__(self, title: str, document: Sequence[Any], frame: pl.DataFrame, shown: Sequence[str] = ()) -> None:
        self._title, self._document, self._frame = title, document, frame
        self.shown = tuple(shown)  # type: ignore[misc]

    @property
    def heading(self) -> str:
        return self._title

    def document(self) -> Any:
        return self._document

    def to_frame(self) -> pl.DataFrame:
        return self._frame

    def __len__(self) -> int:
        return self._frame.height


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= CELL else f"{flat[: CELL - 1]}…"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Decimal):
        from analysis.formatting import money

        return money(value, symbol="")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return value.isoformat() if isinstance(value, date) else str(value)
