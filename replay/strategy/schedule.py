"""Times as a strategy file gives them: an instant, `daily at 03:00`, `every 6h`; and files of invalidations.

All are UTC. A rule of times is expanded over the log's span only when the replay knows it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from analysis.calendar_days import DAY_MS
from ingest.errors import StrategyError, did_you_mean
from replay.strategy.conditions import COLUMNS
from replay.strategy.fields import duration_ms, duration_text

Int64 = NDArray[np.int64]

MOST_MOMENTS: Final = 1_000_000
MOST_BYTES: Final = 10_000_000  # of a file of invalidations
MOST_SELECTIONS: Final = 1_000  # different ones in it; each is looked for among all calls
WANTED: Final = "a time (2024-03-05 14:30), 'daily at 03:00' or 'every 6h'"
_DAILY = re.compile(r"daily at (\d{1,2}):(\d{2})(?::(\d{2}))?")


def moment(value: object) -> str:
    """The one way to write a time or a rule of times. ValueError says what it may be; no zone means UTC."""
    if isinstance(value, date):  # a datetime is a date
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError(f"must be {WANTED}")
    text = " ".join(value.split()).lower()
    daily = _DAILY.fullmatch(text)
    if daily:
        hour, minute, second = (int(part or 0) for part in daily.groups())
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"'{value}' is not a time of day")
        return f"daily at {hour:02}:{minute:02}" + (f":{second:02}" if second else "")
    if text.startswith("every "):
        return f"every {duration_text(max(duration_ms(text.removeprefix('every ')), 1))}"
    try:
        instant = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"'{value}' is not {WANTED}") from None
    instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def expand(moments: tuple[str, ...], first_ms: int, last_ms: int) -> Int64:
    """The milliseconds from `first_ms` to `last_ms` that are meant, rising, each once.

    Raises StrategyError where a rule means more than a million of them.
    """
    found: list[Int64] = []
    for text in moments:
        daily = _DAILY.fullmatch(text)
        if daily:
            hour, minute, second = (int(part or 0) for part in daily.groups())
            found.append(_period(DAY_MS, ((hour * 60 + minute) * 60 + second) * 1000, first_ms, last_ms))
        elif text.startswith("every "):
            found.append(_period(duration_ms(text.removeprefix("every ")), 0, first_ms, last_ms))
        else:
            instant = datetime.fromisoformat(text)
            found.append(np.array([round(instant.timestamp() * 1000)], np.int64))
    times = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
    return times[(times >= first_ms) & (times <= last_ms)]


def _period(step: int, offset: int, first_ms: int, last_ms: int) -> Int64:
    """Multiples of `step` since 1970-01-01 plus `offset`, within the span."""
    start = -(-(first_ms - offset) // step) * step + offset
    if (last_ms - start) // step > MOST_MOMENTS:
        raise StrategyError(
            f"a time every {duration_text(step)} is more than {MOST_MOMENTS:,} times in this log",
            remedy="Give a longer interval.",
        )
    return np.arange(start, last_ms + 1, step, dtype=np.int64)


def _moments(value: object) -> tuple[str, ...]:
    try:
        return tuple(moment(one) for one in (value if isinstance(value, (list, tuple)) else [value]))
    except ValueError as error:
        raise PydanticCustomError("moment", "{why}", {"why": str(error)}) from error


Moments = Annotated[tuple[str, ...], BeforeValidator(_moments), Field(min_length=1)]


def read_restarts(value: object) -> object:
    """`daily at 03:00`, a list of such, or mappings of `at` and `process`."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return [{"at": item} if isinstance(item, (str, date)) else item for item in items]


def read_invalidations(value: object, info: ValidationInfo) -> object:
    """As `read_restarts`, with a selection; `{file: NAME}` stands for the rows of a file beside the strategy's."""
    items: list[object] = []
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, dict) and "file" in item:
            if len(item) > 1:
                raise PydanticCustomError("file", "a file of invalidations has its own times and selections", {})
            items += _file(str(item["file"]), (info.context or {}).get("folder", Path()))
        else:
            items.append({"at": item} if isinstance(item, (str, date)) else item)
    return items


def _file(name: str, folder: Path) -> list[dict[str, Any]]:
    """A CSV file with a header or a JSON lines file: a `time`, and columns of rules that say which requests are meant.

    A column without a value means any. Rows with the same selection become one invalidation with many times.
    """
    try:
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts or path.suffix not in (".csv", ".jsonl"):
            raise ValueError(f"'{name}' must be a .csv or .jsonl file beside the strategy file")
        if not path.is_file():
            raise ValueError(f"there is no file '{name}' beside the strategy file")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"'{name}' is larger than {MOST_BYTES:,} bytes")
        grouped: dict[str, tuple[dict[str, Any], list[str]]] = {}
        for line, row in _rows(path):
            try:
                time = moment(row.pop("time", None))
                match = {column: _typed(column, value) for column, value in row.items() if value not in (None, "")}
            except ValueError as error:
                raise ValueError(f"{name}:{line}: {error}") from None
            grouped.setdefault(json.dumps(match, sort_keys=True), (match, []))[1].append(time)
        if len(grouped) > MOST_SELECTIONS:
            raise ValueError(f"'{name}' has {len(grouped):,} different selections; at most {MOST_SELECTIONS:,}")
    except (ValueError, OSError) as error:
        raise PydanticCustomError("file", "{why}", {"why": str(error), "key": "file"}) from error
    return [{"at": times, **({"match": match} if match else {})} for match, times in grouped.values()]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as source:
        if path.suffix == ".csv":
            reader = csv.DictReader(source, restkey="more columns than the header")
            yield from ((reader.line_num, dict(row)) for row in reader)
            return
        for number, line in enumerate(source, 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is not an object")
                yield number, row


def _typed(column: str, value: Any) -> Any:
    """A cell as a condition of its column takes it."""
    if column not in COLUMNS:
        raise ValueError(f"unknown column '{column[:40]}'. {did_you_mean(column, COLUMNS)}")
    if not isinstance(value, str) or COLUMNS[column] in ("text", "list"):
        return value
    if COLUMNS[column] == "flag":
        if value.lower() not in ("true", "false"):
            raise ValueError(f"column {column} is true or false")
        return value.lower() == "true"
    try:
        return int(value) if value.lstrip("-").isdigit() else float(value)
    except ValueError:
        raise ValueError(f"column {column} is a number") from None
