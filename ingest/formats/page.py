"""Pages of an API as saved by a loop over them: an object whose list holds records of any other format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, Reader, catch_reader_errors
from ingest.formats import detect_record
from ingest.records.call import BadRecordError, Skip

# keys under which APIs hand out lists, and objects that hold such a key
_KEYS = (
    "data", "result", "results", "items", "logs", "events", "content", "records", "rows", "spans", "objects", "runs",
    "traces", "calls", "entries", "generations", "value", "logEvents",
)  # fmt: skip
_DEPTH = 2
_LOOKED_AT = 3  # elements by which a page is recognised


class Pages:
    """Reads the elements of the pages of one file, each by the reader of its format."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._open: dict[str, Reader] = {}

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of all elements of a page."""
        elements = _elements(record, _DEPTH)
        found: list[Outcome] = []
        for element in elements:
            found.extend(catch_reader_errors(self._element, element, row))
        return found if elements else [Skip("a page without records")]

    def close(self) -> Iterable[Outcome]:
        """What the elements' readers held back."""
        for reader in self._open.values():
            yield from reader.close()

    def _element(self, element: Any, row: int) -> list[Outcome]:
        format = detect_record(element)
        if format is None:
            raise BadRecordError("no known kind of record")
        reader = self._open.get(format.name)
        if reader is None:
            reader = self._open[format.name] = format.open(self.context)
        outcome = reader.read(element, row)
        return outcome if isinstance(outcome, list) else [outcome]


def _elements(record: Any, depth: int) -> list[Any]:
    """The elements of the first list of objects under one of the keys."""
    if not isinstance(record, dict):
        return []
    for key in _KEYS:
        value = record.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return value
        if isinstance(value, dict) and depth > 1 and (inner := _elements(value, depth - 1)):
            return inner
    return []


FORMAT = Format(
    name="page",
    title="pages of an API with records of the formats above",
    fingerprints=(),
    matches=lambda record: any(
        detect_record(element) is not None for element in _elements(record, _DEPTH)[:_LOOKED_AT]
    ),
    open=Pages,
    rank=99,
    splittable=False,
)
