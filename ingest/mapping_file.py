"""Logs of a layout of one's own, described by a mapping file: our field from their path.

```yaml
name: my-gateway
timezone: Europe/Berlin          # of times that name no zone
decimal: ","                     # the mark before the fraction in numbers that are texts
cache: outside                   # their input count leaves out what was read from a cache or written to it
rows: samples.*.events           # the records lie in an array of each document; `*` is each element
where: {event: model}            # only these are calls
failed: {error: {not: null}}     # and these of them failed
key: [$.id, id]                  # what identifies a call; without it, the row's bytes do
fields:
  start_time: created            # a path: keys and list positions joined by dots; $. is the document, ^. the parent
  request_model: {path: model, values: {"gpt4": gpt-4, "none": null}}
  duration_ms: {path: seconds, unit: s}
  input_tokens: [usage.in, usage.prompt_tokens]     # the first that is there
  output_tokens: {sum: [usage.text, usage.thoughts]}
constants: {provider_name: openai}
messages: request.messages
response: response
tools: request.tools
```
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ingest.errors import InputError, did_you_mean, nearest, nearest_file
from ingest.records.number_text import CURRENCIES
from ingest.records.timestamps import zone_named
from ingest.store.schema import CALL_COLUMNS

Unit = Literal["ns", "us", "ms", "s", "min", "usd", "cents", "thousands"]
TIME_FIELDS = ("start_time", "end_time")
DURATION_FIELDS = ("duration_ms", "time_to_first_chunk_ms")
# columns that a mapping can fill: all that a log can tell
_NOT_MAPPED = {
    "call_no", "call_key", "source_id", "source_row", "time_precision", "model", "message_ids", "tools_id",
    "output_id", "tool_count", "content_state", "agent_source", "task_source",
    "key_canonical", "key_masked", "key_litellm", "key_helicone", "key_portkey",
}  # fmt: skip
# `total_tokens` is no column: it tells how the other counts are meant
MAPPABLE = (*(name for name in CALL_COLUMNS if name not in _NOT_MAPPED), "total_tokens")
TOKEN_FIELDS = frozenset(name for name in MAPPABLE if name.endswith("_tokens"))
_TESTS = {"not", "above", "below"}


def shown(value: Any) -> str:
    """A value as `values` and conditions name it: `null`, `true`, `false`, or its text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


class FieldRule(BaseModel):
    """Where one of our fields comes from: a `path`, or the `sum` or the `join` of several."""

    model_config = ConfigDict(extra="forbid")

    path: str | list[str] = Field(
        [], description="Keys and list positions joined by dots; of several, the first found."
    )
    sum: list[str] = Field([], description="Paths of numbers that are added up; `*` is each element.")
    join: list[str] = Field([], description="Paths of texts that are put together with a blank, as date and time.")
    values: dict[str, Any] | None = Field(default=None, description="Their value -> ours; null means not known.")
    default: Any = Field(default=None, description="Used where the path leads to nothing.")
    unit: Unit | None = Field(default=None, description="The unit of their number, where it is not ours.")
    scale: float | None = Field(default=None, description="Multiply their number by this.")
    currency: str = Field("USD", description="The currency of an amount; another than USD needs `scale`, its dollars.")
    origin: str | None = Field(default=None, description="For times counted from a moment: that moment (ISO).")
    format: str | None = Field(default=None, description="For times in words: their layout, as strptime has it.")

    @field_validator("values", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return {shown(theirs): ours for theirs, ours in value.items()} if isinstance(value, dict) else value

    @property
    def paths(self) -> list[str]:
        """All paths of the rule, in the order in which they are tried or put together."""
        return self.sum or self.join or ([self.path] if isinstance(self.path, str) else self.path)


class Mapping(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("custom", description="What to call this format in reports.")
    timezone: str = Field("UTC", description="The zone of times that name none.")
    day_first: bool | None = Field(None, description="Whether 1/6/2026 is in June; without it such dates are refused.")
    decimal: Literal[".", ","] | None = Field(None, description="The mark before the fraction of numbers in texts.")
    rows: str | None = Field(None, description="Path of the array that holds the records, where they lie in documents.")
    where: dict[str, Any] = Field(
        default_factory=dict, description="Path -> what it must be for a record to be a call."
    )
    failed: dict[str, Any] = Field(default_factory=dict, description="Path -> what it is in calls that failed.")
    cache: Literal["inside", "outside"] | None = Field(
        None, description="Whether input_tokens holds the cache's tokens; without it, totals and providers tell."
    )
    reasoning: Literal["inside", "outside"] = Field("inside", description="Whether output_tokens holds reasoning.")
    key: str | list[str] | None = Field(None, description="Path of a call's own id, or several that make it up.")
    fields: dict[str, FieldRule] = Field(description="Our field <- their path.")
    constants: dict[str, Any] = Field(default_factory=dict, description="Our fields that are the same in every row.")
    messages: str | None = Field(None, description="Path of the list of input messages, or of one prompt text.")
    response: str | None = Field(None, description="Path of the answer: a message, a list of them, or a text.")
    tools: str | None = Field(None, description="Path of the list of tool definitions.")
    params: str | None = Field(None, description="Path of the other request parameters.")

    @field_validator("fields", mode="before")
    @classmethod
    def _short_rules(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"path": rule} if isinstance(rule, str | list) else rule for name, rule in value.items()}

    @field_validator("where", "failed")
    @classmethod
    def _known_tests(cls, value: dict[str, Any]) -> dict[str, Any]:
        for path, wanted in value.items():
            if isinstance(wanted, dict) and (not wanted or not wanted.keys() <= _TESTS):
                raise ValueError(f"{path}: a value, a list of values, or some of {', '.join(sorted(_TESTS))}")
        return value

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.-]{1,60}", value):
            raise ValueError("a name is letters, digits, '.', '_' and '-'")
        return value

    @property
    def zone(self) -> tzinfo:
        """The zone of times that name none. Raises InputError for one that does not exist."""
        return UTC if self.timezone == "UTC" else zone_named(self.timezone)


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file. Raises InputError with the line, the key and the nearest right name."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise InputError("there is no such mapping file", where=str(path), remedy=nearest_file(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the mapping file cannot be read: {error}", where=str(path)) from None
    return parse_mapping(text, str(path))


def parse_mapping(text: str, where: str) -> Mapping:
    """The mapping in a YAML text. Raises InputError with the line, the key and the nearest right name."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"not YAML: {problem}", where=f"{where}{line}") from None
    if not isinstance(values, dict):
        raise InputError("a mapping file is a YAML mapping with `fields`", where=where)
    try:
        mapping = Mapping.model_validate(values)
    except ValidationError as error:
        raise _explained(error, tree, where) from None
    for section, given in (("fields", mapping.fields), ("constants", mapping.constants)):
        for name in given:
            if name not in MAPPABLE:
                raise InputError(
                    f"{section}: there is no field '{name}'",
                    where=f"{where}:{_line(tree, (section, name))}",
                    remedy=_field_hint(name),
                )
    for name, rule in mapping.fields.items():
        wrong = _unfit(name, rule)
        if wrong:
            raise InputError(f"fields.{name}: {wrong}", where=f"{where}:{_line(tree, ('fields', name))}")
    try:
        _ = mapping.zone
    except InputError as error:
        raise InputError(error.what, where=f"{where}:{_line(tree, ('timezone',))}", remedy=error.remedy) from None
    return mapping


def _unfit(name: str, rule: FieldRule) -> str | None:
    """What is wrong with the keys of a rule for this field, or None."""
    given = rule.model_fields_set
    sources = given & {"path", "sum", "join"}
    if len(sources) != 1 or not rule.paths:
        return "one of `path`, `sum` and `join` says where it comes from"
    times, durations = name in TIME_FIELDS, name in DURATION_FIELDS
    allowed: tuple[str, ...] = ()
    if times or durations:
        allowed = ("ns", "us", "ms", "s", "min") if durations or rule.origin else ("ns", "us", "ms", "s")
    elif name == "logged_cost_usd":
        allowed = ("usd", "cents")
    elif name in TOKEN_FIELDS:
        allowed = ("thousands",)
    if rule.unit is not None and rule.unit not in allowed:
        return f"unit '{rule.unit}' does not fit; {'one of ' + ', '.join(allowed) if allowed else 'it has none'}"
    if not times and (rule.origin or rule.format):
        return "`origin` and `format` are for times"
    if rule.origin and rule.format:
        return "either `origin` or `format`"
    if rule.currency != "USD" or "currency" in given:
        if name != "logged_cost_usd":
            return "`currency` is for logged_cost_usd"
        if rule.currency not in CURRENCIES.values():
            return f"unknown currency '{rule.currency}'"
        if rule.currency != "USD" and rule.scale is None:
            return f"`scale` must say how many dollars one {rule.currency} is"
    return None


def _field_hint(name: str) -> str:
    near = nearest(name, MAPPABLE)
    return f"Did you mean '{near}'?" if near else f"Known fields: {', '.join(MAPPABLE)}."


def _explained(error: ValidationError, tree: Any, where: str) -> InputError:
    # a mistyped key is also a missing one: the mistyping is what to tell
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = tuple(str(part) for part in first["loc"])
    line = _line(tree, location)
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        model = FieldRule if location[0] == "fields" and len(location) > 1 else Mapping
        remedy = did_you_mean(location[-1], model.model_fields)
        return InputError(f"unknown key '{key}'", where=f"{where}:{line}", remedy=remedy)
    if first["type"] == "missing":
        return InputError(f"'{key}' is missing", where=f"{where}:{line}")
    return InputError(f"{key}: {first['msg']}", where=f"{where}:{line}")


def _line(tree: Any, location: tuple[str, ...]) -> int:
    """The 1-based line of a key, or of the nearest thing around it."""
    node, line = tree, 1
    for part in location:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if key.value == part:
                line, node = key.start_mark.line + 1, value
                break
        else:
            break
    return line
