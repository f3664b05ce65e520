"""Logs of a layout of one's own, described by a mapping file: our field from their path.

```yaml
name: my-gateway
timezone: Europe/Berlin          # of times that name no zone
key: id                          # what identifies a call; without it, the row's bytes do
fields:
  start_time: created            # a path: keys and list positions joined by dots
  request_model: {path: model, values: {"gpt4": gpt-4, "none": null}}
  duration_ms: {path: seconds, unit: s}
  input_tokens: [usage.in, usage.prompt_tokens]     # the first that is there
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

from ingest.errors import InputError, did_you_mean, nearest
from ingest.records.timestamps import zone_named
from ingest.store.schema import CALL_COLUMNS

Unit = Literal["ns", "us", "ms", "s", "min", "usd", "cents", "usd_per_million", "thousands"]
# columns that a mapping can fill: all that a log can tell
_NOT_MAPPED = {
    "call_no", "call_key", "source_id", "source_row", "time_precision", "model", "message_ids", "tools_id",
    "output_id", "tool_count", "content_state", "agent_source", "task_source",
    "key_canonical", "key_masked", "key_litellm", "key_helicone", "key_portkey",
}  # fmt: skip
MAPPABLE = tuple(name for name in CALL_COLUMNS if name not in _NOT_MAPPED)


class FieldRule(BaseModel):
    """Where one of our fields comes from."""

    model_config = ConfigDict(extra="forbid")

    path: str | list[str] = Field(description="Keys and list positions joined by dots; of several, the first found.")
    values: dict[str, Any] | None = Field(default=None, description="Their value -> ours; null means not known.")
    default: Any = Field(default=None, description="Used where the path leads to nothing.")
    unit: Unit | None = Field(default=None, description="The unit of their number, where it is not ours.")
    scale: float | None = Field(default=None, description="Multiply their number by this.")
    origin: str | None = Field(default=None, description="For times counted from a moment: that moment (ISO).")

    @property
    def paths(self) -> list[str]:
        """The paths in the order in which they are tried."""
        return [self.path] if isinstance(self.path, str) else self.path


class Mapping(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("custom", description="What to call this format in reports.")
    timezone: str = Field("UTC", description="The zone of times that name none.")
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
        raise InputError("there is no such mapping file", where=str(path)) from None
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
    try:
        _ = mapping.zone
    except InputError as error:
        raise InputError(error.what, where=f"{where}:{_line(tree, ('timezone',))}", remedy=error.remedy) from None
    return mapping


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
        model = FieldRule if len(location) > 1 else Mapping
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
