"""Write tool definitions as typed signatures instead of JSON schemas: the same names, types and words in fewer tokens.

`expand` reads a signature back into the schema, which is how the tests know that nothing is lost but the order of a
`required` list, which has no meaning (JSON Schema 2020-12, validation 6.5.3). What a signature has no words for, such
as `format` or `anyOf`, stands in it as JSON behind an @.
"""

from __future__ import annotations

import json
import re
from typing import Any

from replay.compressors import Compressor

_SCALARS = {"string": "str", "integer": "int", "number": "num", "boolean": "bool", "null": "null"}
_NAMES = {short: name for name, short in _SCALARS.items()}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def apply(tools: Any) -> Any:
    """Tool definitions as a list of signatures, one string per tool; a tool that does not fit keeps its JSON."""
    if not isinstance(tools, list):
        return tools
    written = [_signature(tool) for tool in tools]
    return written if any(isinstance(entry, str) for entry in written) else tools


def _signature(tool: Any) -> Any:
    try:
        text = _write(tool)
        return text if same(_read(text), tool) else tool
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration):
        return tool


def same(one: Any, other: Any) -> bool:
    """Whether two definitions mean the same: equal but for the order of `required`."""
    return bool(_ordered(one) == _ordered(other))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: sorted(each) if key == "required" and _names(each) else _ordered(each) for key, each in value.items()
        }
    return [_ordered(each) for each in value] if isinstance(value, list) else value


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def expand(written: Any) -> Any:
    """The tool definitions that a list of signatures was made from."""
    return [_read(entry) if isinstance(entry, str) else entry for entry in written]


def _write(tool: dict[str, Any]) -> str:
    wrapped = tool.get("type") == "function" and isinstance(tool.get("function"), dict)
    body = tool["function"] if wrapped else tool
    key = next(name for name in ("parameters", "input_schema") if name in body)
    rest = set(body) - {"name", "description", key}
    if rest or (wrapped and set(tool) != {"type", "function"}) or not _NAME.fullmatch(body["name"]):
        raise ValueError("more than a signature can say")
    schema = body[key]
    lead = {("parameters", True): "fn ", ("parameters", False): "def ", ("input_schema", False): "tool "}[key, wrapped]
    note = f" -- {_quoted(body['description'])}" if "description" in body else ""
    return f"{lead}{body['name']}{_type(schema)}{note}"


def _type(schema: Any) -> str:
    """A schema in the signature's own words, what they do not cover as JSON behind an @."""
    core, covered = _core(schema)
    if not covered:
        return _raw(schema)
    if "default" in schema:
        core += f" = {json.dumps(schema['default'], ensure_ascii=False)}"
    if "description" in schema:
        core += f" # {_quoted(schema['description'])}"
    rest = {key: value for key, value in schema.items() if key not in (*covered, "default", "description")}
    return f"{core} {_raw(rest)}" if rest else core


def _core(schema: Any) -> tuple[str, tuple[str, ...]]:
    """(text, the keys that it covers); no keys where there are no words for this schema."""
    kind = schema.get("type")
    if "enum" in schema:
        if kind is not None and kind not in _SCALARS:
            return "", ()
        base = _SCALARS[kind] if kind is not None else ""
        return f"{base}<{'|'.join(_quoted(value) for value in schema['enum'])}>", ("type", "enum")
    if kind == "array":
        return (f"[{_type(schema['items'])}]" if "items" in schema else "[]"), ("type", "items")
    if kind == "object" and "properties" in schema:
        return _fields(schema)
    if kind == "object":
        return "{}", ("type",)
    return (_SCALARS[kind], ("type",)) if isinstance(kind, str) and kind in _SCALARS else ("", ())


def _fields(schema: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    properties, required = schema["properties"], schema.get("required")
    marks = set(required or [])
    if not all(_NAME.fullmatch(name) for name in properties) or not marks <= set(properties):
        return "", ()
    fields = [f"{name}{'' if name in marks else '?'}: {_type(each)}" for name, each in properties.items()]
    extra = schema.get("additionalProperties")
    close = {False: "!", True: "+"}[extra] if isinstance(extra, bool) else ""
    # `;` tells a schema without a `required` list from one with an empty list
    text = f"({', '.join(fields)}{';' if required is None else ''}{close})"
    return text, ("type", "properties", "required", *(("additionalProperties",) if close else ()))


def _raw(value: Any) -> str:
    return "@" + json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _quoted(value: Any) -> str:
    """A text in single quotes, which JSON does not have to escape again; anything else as JSON."""
    if isinstance(value, str) and value.isprintable() and "'" not in value and "\\" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


# -- reading back ------------------------------------------------------------------------------------------------------


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def need(self, mark: str) -> None:
        if not self.take(mark):
            raise ValueError(f"expected {mark!r} at {self.at}")

    def json(self) -> Any:
        if self.text.startswith("'", self.at):
            end = self.text.index("'", self.at + 1)
            value, self.at = self.text[self.at + 1 : end], end + 1
            return value
        value, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
        return value

    def word(self) -> str:
        found = _NAME.match(self.text, self.at)
        if not found:
            raise ValueError(f"expected a name at {self.at}")
        self.at = found.end()
        return found.group()

    def type(self) -> Any:
        if self.take("@"):
            return self.json()
        schema = self._bare()
        if self.take(" = "):
            schema["default"] = self.json()
        if self.take(" # "):
            schema["description"] = self.json()
        if self.take(" @"):
            schema |= self.json()
        return schema

    def _bare(self) -> dict[str, Any]:
        if self.take("("):
            return self._fields()
        if self.take("{}"):
            return {"type": "object"}
        if self.take("[]"):
            return {"type": "array"}
        if self.take("["):
            items = self.type()
            self.need("]")
            return {"type": "array", "items": items}
        schema: dict[str, Any] = {}
        if not self.text.startswith("<", self.at):
            schema["type"] = _NAMES[self.word()]
        if self.take("<"):
            values = []
            if not self.take(">"):
                values.append(self.json())
                while self.take("|"):
                    values.append(self.json())
                self.need(">")
            schema["enum"] = values
        return schema

    def _fields(self) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required: list[str] | None = []
        while not any(self.text.startswith(mark, self.at) for mark in (")", ";", "!)", "+)")):
            if properties:
                self.need(", ")
            name = self.word()
            if not self.take("?") and required is not None:
                required.append(name)
            self.need(": ")
            properties[name] = self.type()
        if self.take(";"):
            required = None
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required is not None:
            schema["required"] = required
        if self.take("!"):
            schema["additionalProperties"] = False
        elif self.take("+"):
            schema["additionalProperties"] = True
        self.need(")")
        return schema


def _read(text: str) -> dict[str, Any]:
    lead = next(mark for mark in ("fn ", "def ", "tool ") if text.startswith(mark))
    reader = _Reader(text)
    reader.at = len(lead)
    body: dict[str, Any] = {"name": reader.word()}
    body["input_schema" if lead == "tool " else "parameters"] = reader.type()
    if reader.take(" -- "):
        body["description"] = reader.json()
    if reader.at != len(text):
        raise ValueError("more text than a signature")
    return {"type": "function", "function": body} if lead == "fn " else body


COMPRESSOR = Compressor(apply, "tools", lossless=True, prefix_stable=True)
