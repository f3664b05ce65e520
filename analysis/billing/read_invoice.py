"""One report of what a provider billed, read by what its file looks like."""

from __future__ import annotations

from pathlib import Path

from analysis.billing.invoice import InvoiceLine, read_pages, read_text
from analysis.billing.invoice_tables import read_mapped, read_table
from ingest.errors import InputError, nearest_file


def read_invoice(path: Path, mapping: Path | None = None) -> list[InvoiceLine]:
    """The lines of one report file. Raises InputError for a file that is not of a known kind, naming the place."""
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), remedy=nearest_file(Path(path)))
    if mapping is not None:
        return list(read_mapped(path, mapping))
    if path.suffix == ".parquet":
        return list(read_table(path))
    text = read_text(path)
    head = text.lstrip()[:1]
    if head in ("{", "["):
        lines = list(read_pages(text, path))
    else:
        lines = list(read_table(path))
    if not lines:
        raise InputError(
            "no billed lines found",
            where=str(path),
            remedy="Known: OpenAI and Anthropic usage and cost pages, AWS CUR, OpenRouter; others need --mapping.",
        )
    return lines
