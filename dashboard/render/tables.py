"""Tables as data, shown as HTML on a page and in the report, and exported as CSV: one definition for all three."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from html import escape
from typing import Any

from analysis.formatting import csv_text

SHORT = 22
LONG = 30


@dataclass(frozen=True)
class Column:
    """One column: its heading, how a value reads, and whether it is a figure (right-aligned).

    `about` explains a term of the field; `swatch` gives the colour of the small square before a name; `strong` marks
    what is wrong; `shade` (0 to 1) tints a cell by its weight. On a phone a `minor` column is shown when asked for.
    """

    title: str
    text: Callable[[Any], str] = lambda value: "-" if value is None else str(value)
    figure: bool = False
    about: str = ""
    swatch: Callable[[Any], str | None] | None = None
    strong: Callable[[Any], bool] | None = None
    shade: Callable[[Any], float] | None = None
    minor: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows of plain values; `caption` names it for a screen reader and for its file."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: tuple[Any, ...] | None = None


def html(table: Table, *, limit: int | None = None) -> str:
    """The table as HTML. Every cell is escaped: text from logs stays text."""
    shown = table.rows if limit is None else table.rows[:limit]
    head = "".join(
        f'<th scope="col"{_side(column, heading=True)}{_about(column)}>{escape(column.title)}</th>'
        for column in table.columns
    )
    body = "".join(_row(table.columns, row) for row in shown)
    if table.total is not None:
        body += _row(table.columns, table.total, kind="total")
    minor = sum(column.minor for column in table.columns)
    more = (
        f'<label class="hc-more"><input type="checkbox"> {minor} more column{"s" * (minor > 1)}</label>'
        if minor
        else ""
    )
    return (
        f'<div class="hc-scroll" tabindex="0" role="region" aria-label="{escape(table.caption)}">{more}'
        f'<table class="hc-table"><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def markdown(table: Table) -> str:
    """The table for a pull request; what Markdown would act on is escaped."""
    lines = [
        "| " + " | ".join(escape_markdown(column.title) for column in table.columns) + " |",
        "|" + "|".join("---:" if column.figure else "---" for column in table.columns) + "|",
    ]
    rows = [*table.rows, *([table.total] if table.total is not None else [])]
    for row in rows:
        cells = (escape_markdown(column.text(value)) for column, value in zip(table.columns, row, strict=True))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def to_csv(table: Table, about: Sequence[str] = ()) -> bytes:
    """Headings and rows as CSV (UTF-8): dates in ISO form, amounts as plain decimals.

    Lines of `about` stand above, each after `# `, as DuckDB and pandas (`comment="#"`) leave out. A text cell that a
    spreadsheet would run as a formula gets a leading apostrophe.
    """
    out = io.StringIO()
    out.writelines(f"# {' '.join(line.split())}\n" for line in about)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_text(column.title) for column in table.columns])
    for row in table.rows:
        writer.writerow([csv_cell(value) for value in row])
    return out.getvalue().encode()


def csv_cell(value: Any) -> str:
    """One value as a program reads it back; None is empty."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return csv_text(value) if isinstance(value, str) else str(value)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it stands: what it would act on is escaped, line breaks turn into spaces.

    Characters that act on a terminal or on the order of the text become U+FFFD: somebody will `cat` the file.
    """
    flat = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>|~#$&" else char for char in flat)
    return re.sub(r":(?=[\w+-]+:)", r"\\:", escaped)


def _row(columns: Sequence[Column], row: Sequence[Any], kind: str = "") -> str:
    cells = []
    for column, value in zip(columns, row, strict=True):
        colour = column.swatch(value) if column.swatch and not kind else None
        square = f'<span class="hc-swatch" style="background:{escape(colour)}"></span>' if colour else ""
        strong = ' data-strong="1"' if column.strong and column.strong(value) else ""
        tint = f' style="--hc-shade:{100 * column.shade(value):.0f}%"' if column.shade and not kind else ""
        text = column.text(value)
        cells.append(f"<td{_side(column, text)}{strong}{tint}>{square}{escape(text)}</td>")
    return f"<tr{f' class=hc-{kind}' if kind else ''}>{''.join(cells)}</tr>"


def _side(column: Column, text: str = "", *, heading: bool = False) -> str:
    """Figures align right; a short word stays on one line, a long text keeps some width, headings break at spaces."""
    kinds = ["hc-figure"] * column.figure + ["hc-short"] * (0 < len(text) <= SHORT) + ["hc-long"] * (len(text) > LONG)
    kinds += ["hc-minor"] * column.minor + ["hc-wrap"] * (heading and " " in column.title)
    return f' class="{" ".join(kinds)}"' if kinds else ""


def _about(column: Column) -> str:
    return f' title="{escape(column.about)}"' if column.about else ""
