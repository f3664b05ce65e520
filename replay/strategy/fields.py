"""What all parts of a strategy file share: mappings without unknown keys, selections of calls, durations and sizes."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from ingest.errors import did_you_mean
from replay.strategy.conditions import COLUMNS, ExpressionError, check_expression, column_meant, condition

_NUMBER_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# as Redis reads `maxmemory` (redis.conf, 7.x): k = 1000 bytes, kb = 1024 bytes
_BYTES = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "kib": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "mib": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
    "gib": 1024**3,
    "tb": 1024**4,
    "tib": 1024**4,
}


def duration_ms(value: object) -> int:
    """Milliseconds of `250ms`, `5m`, `24h`, `7d`; a bare number is seconds. ValueError names the accepted units."""
    return _scaled(value, {**_MS, "": 1000}, "a duration such as 30s, 5m, 24h or 7d")


def duration_text(ms: int) -> str:
    """The shortest way to write a duration: `5m` for 300,000."""
    for unit in ("d", "h", "m", "s"):
        if ms % _MS[unit] == 0:
            return f"{ms // _MS[unit]}{unit}"
    return f"{ms}ms"


def size_bytes(value: object) -> int:
    """Bytes of `512kb`, `2GB`; a bare number is bytes. ValueError names the accepted units."""
    return _scaled(value, _BYTES, "a size such as 512KB, 100MB or 2GB")


def _scaled(value: object, units: dict[str, int], wanted: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"must be {wanted}")
    match = _NUMBER_UNIT.fullmatch(str(value))
    factor = units.get(match.group(2).lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"'{value}' is not {wanted}")
    amount = int(Decimal(match.group(1)) * factor)
    if amount >= 2**62:
        raise ValueError(f"'{value}' is too large")
    return amount


Milliseconds = Annotated[
    int, BeforeValidator(duration_ms), Field(ge=1), PlainSerializer(duration_text, when_used="json-unless-none")
]
Bytes = Annotated[int, BeforeValidator(size_bytes), Field(ge=1)]
Name = Annotated[str, BeforeValidator(lambda value: str(value) if value is not None else value), Field(min_length=1)]
Ratio = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A mapping of the file. An unknown key is an error that offers the nearest right one."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if key not in known and key not in cls.model_fields:
                    hint = did_you_mean(str(key), known)
                    raise PydanticCustomError("unknown_key", "unknown key '{key}'", {"key": str(key), "hint": hint})
        return value


def _condition(value: object) -> object:
    try:
        return condition(value)
    except ValueError as error:
        raise PydanticCustomError("condition", "{why}", {"why": str(error)}) from error


def _match(value: object) -> object:
    if not isinstance(value, dict) or not value:
        raise PydanticCustomError("match", "must map columns to values, as in {task: 'summar*'}", {})
    checked = {}
    for key, wanted in value.items():
        if key not in COLUMNS:
            raise PydanticCustomError(
                "unknown_key",
                "unknown column '{key}'",
                {"key": str(key), "hint": column_meant(str(key))},
            )
        try:
            checked[key] = condition(wanted, COLUMNS[key])
        except ValueError as error:
            raise PydanticCustomError("condition", "{why}", {"why": str(error), "key": key}) from error
    return checked


def _when(text: str) -> str:
    try:
        check_expression(text)
    except ExpressionError as error:
        raise PydanticCustomError("when", "{why}", {"why": str(error), "hint": error.remedy or ""}) from error
    return text


Match = Annotated[dict[str, Any], BeforeValidator(_match)]
When = Annotated[str, AfterValidator(_when)]


class Selection(Part):
    """Which calls a part of the file speaks of: a structured match, a boolean SQL expression, or both."""

    match: Match | None = None
    when: When | None = None


class TableRow(Part):
    """One row of a table of assumptions, for a task and a model; a glob or nothing means any."""

    task: Name | None = None
    model: Name | None = None
