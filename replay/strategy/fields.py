"""What all parts of a strategy file share: mappings without unknown keys, selections of calls, durations and sizes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from ingest.errors import did_you_mean
from replay.stages import rule_evaluation
from replay.strategy.conditions import ExpressionError, check_expression
from replay.strategy.units import duration_ms, duration_text, size_bytes

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
        return rule_evaluation.condition(value)
    except ValueError as error:
        raise PydanticCustomError("condition", "{why}", {"why": str(error)}) from error


def _match(value: object) -> object:
    if not isinstance(value, dict) or not value:
        raise PydanticCustomError("match", "must map columns to values, as in {task: 'summar*'}", {})
    checked = {}
    for key, wanted in value.items():
        if key not in rule_evaluation.COLUMNS:
            raise PydanticCustomError(
                "unknown_key",
                "unknown column '{key}'",
                {"key": str(key), "hint": did_you_mean(str(key), rule_evaluation.COLUMNS)},
            )
        try:
            checked[key] = rule_evaluation.condition(wanted, rule_evaluation.COLUMNS[key])
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
