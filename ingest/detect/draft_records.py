"""Which records of a log, or elements of an array in them, are calls, and what paths lead to their values."""

from __future__ import annotations

import re
from typing import Any

from ingest.detect.draft_document import TOKENS, Draft, Record
from ingest.detect.field_names import field_of, words
from ingest.records.json_paths import getter, opened, rows_at

_DEPTH = 6
_PATHS = 3_000
# keys that tell what a record is, and words for those that are failed calls
_KINDS = (
    "type", "kind", "event", "object", "op", "operation_name", "event_name", "event_type", "span_type", "category",
)  # fmt: skip
_FAILED = re.compile("error|fail|expired|cancel|invalid", re.IGNORECASE)


def paths_of(records: list[Record]) -> dict[str, dict[int, Any]]:
    """Every path through keys, with the values other than None that are there, by the number of their record."""
    found: dict[str, dict[int, Any]] = {}

    def walk(value: Record, prefix: str, depth: int, number: int) -> None:
        for key, item in value.items():
            if item is None or len(found) > _PATHS:
                continue
            path = f"{prefix}{key}"
            found.setdefault(path, {})[number] = item
            inner = opened(item)
            if isinstance(inner, dict) and depth < _DEPTH:
                walk(inner, f"{path}.", depth + 1, number)

    for place, record in enumerate(records):
        walk(record, "", 1, place)
    return found


def later_calls(draft: Draft, records: list[Any], rows: str | None) -> list[Record]:
    """The calls among records from all over the file, by what the draft says of rows and conditions."""
    if rows is not None:
        records = [scope[-1] for record in records for scope in rows_at(rows)((record,))]
    calls = [record for record in records if isinstance(record, dict)]
    for theirs, wanted in (draft.document.get("where") or {}).items():
        get, names = getter(theirs), [wanted] if isinstance(wanted, str) else wanted
        calls = [call for call in calls if str(get((call,))) in names]
    return calls


def add_later(paths: dict[str, dict[int, Any]], calls: list[Record], total: int) -> None:
    """Add the values of paths that the first records leave empty, or fill with values of another type."""
    for theirs, values in paths_of(calls).items():
        known = paths.setdefault(theirs, {})
        if {type(value) for value in values.values()} - {type(value) for value in known.values()}:
            known.update((total + number, value) for number, value in values.items())


def rows_path(records: list[Record]) -> str | None:
    """The path of the array whose elements are calls: they have token counts, and a record has several."""
    arrays: dict[str, list[Record]] = {}

    def walk(value: Any, path: str, depth: int) -> None:
        value = opened(value)
        if depth > _DEPTH or len(arrays) > 200:
            return
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            arrays.setdefault(path, []).extend(item for item in value if isinstance(item, dict))
            for item in value[:200]:
                walk(item, f"{path}.*", depth + 1)

    for record in records:
        walk(record, "", 0)
    best = None
    for path, items in arrays.items():
        named = {ours for theirs, values in paths_of(items[:500]).items() if (ours := _name(theirs, values))}
        if len(items) > len(records) and named.issuperset(TOKENS):
            rank = ("request_model" in named or "response_model" in named, "start_time" in named, -path.count("."))
            best = max(best or (rank, path), (rank, path))
    return best[1] if best else None


def _name(theirs: str, values: dict[int, Any]) -> str | None:
    found = field_of(theirs, [*values.values()])
    return found[0] if found and found[1] < 90 else None


def calls_of(draft: Draft, items: list[Record]) -> list[Record]:
    """The records that are calls, as they have token counts, and a condition that tells them from the others."""
    paths = paths_of(items)
    counted = {number for theirs, values in paths.items() if _name(theirs, values) in TOKENS for number in values}
    others = {*range(len(items))} - counted
    if not counted or not others:
        return items
    kinds = sorted(
        (theirs.count("."), theirs) for theirs in paths if "_".join(words(theirs.rpartition(".")[2])) in _KINDS
    )
    for _, theirs in kinds:
        values = paths[theirs]
        if any(not isinstance(value, str) for value in values.values()):
            continue
        if any(_FAILED.search(str(values.get(one))) for one in others):
            continue
        inside, outside = ({values.get(one) for one in part} for part in (counted, others))
        if None not in inside and outside != {None} and len(inside) <= 3 and inside.isdisjoint(outside):
            wanted = sorted(str(value) for value in inside)
            draft.document["where"] = {theirs: wanted[0] if len(wanted) == 1 else wanted}
            draft.notes.append(f"the records whose {theirs} is not {' or '.join(wanted)} were taken as no calls")
            return [items[number] for number in sorted(counted)]
    return items
