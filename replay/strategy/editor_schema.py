"""The JSON schema as an editor needs it: descriptions and examples, the short forms, the names that may stand there."""

from __future__ import annotations

from typing import Any, Final

from replay import compressors as compress
from replay.strategy import key_reference
from replay.strategy.conditions import COLUMNS

_TYPES: Final = {"text": "string", "number": "number", "flag": "boolean", "list": "string"}
_MATCH: Final = {"$ref": "#/$defs/Match"}
_PLAIN: Final = ({"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"})


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that pydantic makes of a strategy, with what every key means."""
    parts = schema["$defs"]
    _describe(schema, "", parts, set())
    for part in (schema, *parts.values()):
        properties = part.get("properties", {})
        if "match" in properties:
            told = {key: properties["match"][key] for key in ("description", "examples") if key in properties["match"]}
            properties["match"] = {"anyOf": [_MATCH, {"type": "null"}], **told}
    parts["Match"] = _match()
    parts["PromptText"] = {"type": "string", "description": "The name of a file beside the strategy file."}
    parts["Compressor"] = _compressor(parts["Compressor"])
    return schema


def _describe(part: dict[str, Any], path: str, parts: dict[str, Any], seen: set[tuple[int, str]]) -> None:
    """Write descriptions into the properties of a part, and into the parts that they refer to."""
    for name, entry in part.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        text, line = key_reference.about(place), key_reference.example(place)
        if text:
            entry["description"] = text
        if line:
            entry["examples"] = [line]
        for target, below in _referred(entry, place):
            if (id(parts[target]), below) not in seen:
                seen.add((id(parts[target]), below))
                _describe(parts[target], below, parts, seen)


def _referred(entry: Any, path: str) -> list[tuple[str, str]]:
    """(part, path) of every reference below an entry; through a list the path gets its `[]`."""
    if isinstance(entry, list):
        return [found for one in entry for found in _referred(one, path)]
    if not isinstance(entry, dict):
        return []
    found = [(entry["$ref"].rpartition("/")[2], path)] if "$ref" in entry else []
    for key in ("anyOf", "oneOf", "allOf"):
        found += _referred(entry.get(key, []), path)
    return found + (_referred(entry["items"], f"{path}[]") if "items" in entry else [])


def _match() -> dict[str, Any]:
    """What a structured selection may name, column by column."""
    columns = {
        name: {
            "description": key_reference.column_about(name),
            "anyOf": [{"type": _TYPES[kind]}, {"type": "array", "items": {"anyOf": list(_PLAIN)}}, {"type": "object"},
                      {"type": "null"}],
        }
        for name, kind in COLUMNS.items()
    }  # fmt: skip
    return {"type": "object", "properties": columns, "additionalProperties": False}


def _compressor(whole: dict[str, Any]) -> dict[str, Any]:
    """A compressor's name, its name with one value or with parameters, or the long form."""
    choices: list[dict[str, Any]] = [{"enum": list(compress.names())}]
    for name in compress.names():
        one = compress.find(name)
        parameters = {
            key: {"description": one.about[key], "default": default, "type": _json_type(default)}
            for key, default in one.parameters.items()
        }
        selection = {
            "match": _MATCH,
            "when": {"type": "string", "description": key_reference.about("compress[].when")},
        }
        forms: list[dict[str, Any]] = [
            {"type": "object", "properties": {**parameters, **selection}, "additionalProperties": False}
        ]
        if one.main_parameter:
            forms.append(parameters[one.main_parameter])
        choices.append(
            {
                "type": "object",
                "properties": {name: {"description": key_reference.summary_of(name), "anyOf": forms}},
                "required": [name],
                "additionalProperties": False,
            }
        )
    return {"anyOf": [*choices, whole], "description": "One compressor."}


def _json_type(default: object) -> str:
    if isinstance(default, bool):
        return "boolean"
    return "integer" if isinstance(default, int) else "number" if isinstance(default, float) else "string"
