"""Paths into a record: keys and list positions joined by dots.

JSON in strings is opened on the way, and a key may itself hold dots (`attributes.gen_ai.request.model`). A record that
lies in an array of a document has a scope: the objects from the document down to itself. `$.a` begins at the document,
`^.a` at the object that holds the array, `^^.a` at the object around that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

Scope = tuple[Any, ...]  # objects, from the document to the record
Getter = Callable[[Scope], Any]


def opened(value: Any) -> Any:
    """The value, or what its text holds where it is JSON in a string."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return value
    return value


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """`inputTokens` as `input_tokens`."""
    return "".join(f"_{mark.lower()}" if mark.isupper() else mark for mark in name)


def nested(record: dict[str, Any]) -> dict[str, Any]:
    """The record with objects in place of names that dots join: `{"a.b": 1}` as `{"a": {"b": 1}}`."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        *parents, last = key.split(".")
        place = found
        for name in parents:
            inner = place.setdefault(name, {})
            place = inner if isinstance(inner, dict) else {}
        place[last] = value
    return found


def getter(path: str) -> Getter:
    """A function that gives what the path leads to in a scope, or None. Of keys that fit the longest goes first."""
    up, parts = _split(path)
    keys = _keys(parts)

    def get(scope: Scope) -> Any:
        start = _start(scope, up)
        return None if start is None else _follow(start, parts, keys, 0)

    return get


def all_values(path: str) -> Callable[[Scope], list[Any]]:
    """Like `getter`, for a path in which `*` stands for each element of an array or object: all that is found."""
    if "*" not in path.split("."):
        get = getter(path)
        return lambda scope: [] if (found := get(scope)) is None else [found]
    find = rows_at(path, elements=False)
    return lambda scope: [inner[-1] for inner in find(scope)]


def rows_at(path: str, *, elements: bool = True) -> Callable[[Scope], Iterator[Scope]]:
    """A function that gives the scope of each record at the path, in which `*` stands for each element.

    With `elements` an array at the end of the path gives its elements; else it is one value.
    """
    up, parts = _split(path)
    keys = _keys(parts)

    def find(scope: Scope) -> Iterator[Scope]:
        start = _start(scope, up)
        if start is not None:
            yield from _descend(start, scope[: len(scope) - up] if up >= 0 else scope[:1], 0)

    def _descend(value: Any, around: Scope, at: int) -> Iterator[Scope]:
        value = opened(value)
        if at == len(parts):
            if elements and isinstance(value, list):
                yield from ((*around, item) for item in value)
            elif value is not None:
                yield (*around, value) if value is not around[-1] else around
            return
        inner = around if value is around[-1] or not isinstance(value, dict) else (*around, value)
        if parts[at] == "*":
            for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
                yield from _descend(item, inner, at + 1)
        elif isinstance(value, dict):
            for key, end in keys[at]:
                if value.get(key) is not None:
                    yield from _descend(value[key], inner, end)
                    return
        elif isinstance(value, list) and (item := _item(value, parts[at])) is not None:
            yield from _descend(item, inner, at + 1)

    return find


def _split(path: str) -> tuple[int, list[str]]:
    """(levels to go up, or -1 for the document; parts of the path)."""
    head, dot, rest = path.partition(".")
    if head == "$" and dot:
        return -1, rest.split(".")
    if head and not head.strip("^") and dot:
        return len(head), rest.split(".")
    return 0, path.split(".")


def _start(scope: Scope, up: int) -> Any:
    if up < 0:
        return scope[0]
    return scope[-1 - up] if up < len(scope) else None


def _keys(parts: list[str]) -> list[list[tuple[str, int]]]:
    """For each place in the path the keys that may stand there, longest first, and where the path goes on."""
    size = len(parts)
    return [[(".".join(parts[at:end]), end) for end in range(size, at, -1)] for at in range(size)]


def _follow(value: Any, parts: list[str], keys: list[list[tuple[str, int]]], at: int) -> Any:
    if at == len(parts):
        return value
    value = opened(value)
    if isinstance(value, dict):
        for key, end in keys[at]:
            inner = value.get(key)
            if inner is not None and (found := _follow(inner, parts, keys, end)) is not None:
                return found
        return None
    if isinstance(value, list) and (inner := _item(value, parts[at])) is not None:
        return _follow(inner, parts, keys, at + 1)
    return None


def _item(values: list[Any], part: str) -> Any:
    if not part.lstrip("-").isdigit():
        return None
    position = int(part)
    return values[position] if -len(values) <= position < len(values) else None
