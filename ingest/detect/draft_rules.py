"""The rule of a mapping for one field, by what its values look like: units, scales, zones and layouts of time."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import Any

from ingest.detect.draft_amounts import scale_of
from ingest.detect.draft_document import Draft
from ingest.detect.field_names import is_number, unit_of, words
from ingest.records.call import BadRecordError
from ingest.records.number_text import number
from ingest.records.timestamps import time_us

_FORMATS = (
    "%d.%m.%y %H:%M", "%d.%m.%y %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%Y%m%d_%H%M%S", "%Y-%m-%d_%H-%M-%S",
    "%Y-%m-%d-%H-%M-%S", "%y/%m/%d %H:%M:%S",
)  # fmt: skip


def count_of(value: Any) -> float:
    try:
        return float(number(value, "$", whole=True) or 0)
    except BadRecordError:
        return 0.0


def rule_for(draft: Draft, ours: str, theirs: str, values: list[Any], paths: dict[str, dict[int, Any]]) -> Any:
    """The rule for a field, with a note where the values leave something open."""
    if ours in ("start_time", "end_time"):
        return _time_rule(draft, theirs, values, paths)
    if ours in ("duration_ms", "time_to_first_chunk_ms"):
        unit = unit_of(theirs)
        if unit is None:
            sizes = sorted(count_of(value) for value in values if is_number(value))
            middle = sizes[len(sizes) // 2] if sizes else 0
            # an answer takes from a fifth of a second to a quarter of an hour
            unit = "ns" if middle >= 1e9 else "us" if middle >= 1e6 else "ms" if middle >= 200 else "s"
            draft.notes.append(f"{theirs} was taken as {unit}")
        return theirs if unit == "ms" else {"path": theirs, "unit": unit}
    scale = scale_of(theirs) if ours.endswith(("_tokens", "_usd")) else None
    if scale is not None:
        draft.notes.append(f"{theirs} was multiplied by {scale:g}")
        return {"path": theirs, "scale": scale}
    if ours == "logged_cost_usd":
        if unit_of(theirs) == "cents":
            return {"path": theirs, "unit": "cents"}
        if not {*words(theirs)} & {"usd", "dollars"}:
            draft.notes.append(f"{theirs} was taken as US dollars")
    if ours.endswith(("_tokens", "_usd")) and "decimal" not in draft.document:
        texts = [value for value in values if isinstance(value, str)]
        if any(_refused(value) for value in texts) and not any(_refused(value, ",") for value in texts):
            draft.document["decimal"] = ","
            draft.notes.append(f"the numbers of {theirs} were taken as written with a decimal comma")
    if ours in ("request_model", "provider_name"):
        names = [text for text, _ in Counter(map(str, values)).most_common(20)]
        odd = [text for text in names if text[:1] == '"' or ("." in text and text[:1].isupper())]
        if odd:
            draft.notes.append(f"write the provider's names in {ours}")
            return {"path": theirs, "values": {text: text for text in odd}}
    if ours == "score" and any(is_number(value) and not 0 <= count_of(value) <= 1 for value in values):
        draft.notes.append(f"{theirs} must end up between 0 and 1")
        return {"path": theirs, "scale": 0.01}
    return theirs


def _refused(text: str, decimal: Any = None) -> bool:
    try:
        number(text.strip(" \u00a0$€£"), "$", decimal=decimal, whole=True)
    except BadRecordError:
        return True
    return False


def _time_rule(draft: Draft, theirs: str, values: list[Any], paths: dict[str, dict[int, Any]]) -> Any:
    first = values[0]
    if isinstance(first, str) and re.fullmatch(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", first.strip()):
        for other, clocks in paths.items():
            if all(isinstance(clock, str) and re.match(r"\d{1,2}:\d\d", clock) for clock in clocks.values()):
                draft.used.add(other)
                draft.notes.append(f"{theirs} and {other} were put together; they name no zone: set timezone")
                return {"join": [theirs, other]}
    orders = [order for order in (None, True, False) if all(_reads(value, order) for value in values)]
    if orders and orders[0] is None:
        unit = unit_of(theirs)
        if isinstance(first, str) and time_us(first, theirs)[1] == "assumed_tz":
            draft.notes.append(f"the times of {theirs} name no zone: set timezone")
        return {"path": theirs, "unit": unit} if unit in ("ms", "us", "ns") and is_number(first) else theirs
    if orders:
        draft.document["day_first"] = orders[0]
        shown = "day first" if orders[0] else "month first"
        draft.notes.append(f"the dates of {theirs} were taken as {shown}{', but both fit' if len(orders) > 1 else ''}")
        return theirs
    for layout in _FORMATS:
        if all(isinstance(value, str) and _has_layout(value, layout) for value in values):
            draft.notes.append(f"the times of {theirs} were taken as {layout}: check it, and set timezone")
            return {"path": theirs, "format": layout}
    draft.notes.append(f"{theirs}: not a time: {str(first)[:40]!r}; name its unit, origin or format")
    return theirs


def _reads(value: Any, day_first: bool | None) -> bool:
    try:
        time_us(value if not hasattr(value, "isoformat") else value.isoformat(), "$", day_first=day_first)
    except BadRecordError:
        return False
    return True


def _has_layout(text: str, layout: str) -> bool:
    try:
        datetime.strptime(text.strip(), layout)
    except ValueError:
        return False
    return True
