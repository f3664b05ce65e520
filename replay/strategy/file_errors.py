"""The first mistake of a strategy file: its line, what may stand there, the nearest right name or a line to copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError

from ingest.errors import StrategyError, did_you_mean
from replay.strategy import key_reference, yaml_source

# pydantic's kinds of a wrong shape -> what a person writes
_SHAPES: Final = {
    "tuple_type": "a list", "list_type": "a list", "dict_type": "keys with values", "model_type": "keys with values",
    "model_attributes_type": "keys with values", "dataclass_type": "keys with values",
}  # fmt: skip
_BOUNDS: Final = ("less_than_equal", "greater_than_equal", "less_than", "greater_than")


def explained(
    error: ValidationError, lines: dict[yaml_source.Path, int], where: str, fields: Iterable[str]
) -> StrategyError:
    """The first problem of the file, by line."""
    found = []
    for problem in error.errors(include_url=False):
        context = problem.get("ctx", {})
        path = tuple(problem["loc"])
        key = context.get("key")
        if key is not None:
            path = _deepest((*path, key), lines)
        else:
            path = _deepest(path, lines)
        found.append((lines.get(path, 1), path, problem, context))
    # an error inside a list also makes pydantic complain about the list: the inner one is the cause
    inner = [
        one for one in found if not any(other[1] != one[1] and other[1][: len(one[1])] == one[1] for other in found)
    ]
    line, path, problem, context = min(inner, key=lambda entry: entry[0])
    words = ".".join(str(part) for part in path)
    message = str(problem["msg"])
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    if problem["type"] == "missing":
        missing = problem["loc"][-1]
        message, words = f"'{missing}' is missing", words
    keys = _keys(path)
    hint = context.get("hint") or None
    if problem["type"] in _SHAPES:
        message, hint = f"must be {_SHAPES[problem['type']]}", _to_copy(keys)
    elif problem["type"] == "unknown_key":
        hint = _belongs(str(context["key"]), keys, list(fields)) or hint
    elif problem["type"] in _BOUNDS and keys.endswith("floor"):
        hint = "A share: floor: 0.95 keeps 95 % of the logged quality."
    elif hint is None:
        hint = _to_copy(keys)
    text = f"{words}: {message}" if words and problem["type"] != "unknown_key" else message
    if problem["type"] == "unknown_key" and len(path) > 1:
        text = f"{message} in {'.'.join(str(part) for part in path[:-1])}"
    return StrategyError(text, where=f"{where}:{line}", remedy=hint)


def _keys(path: yaml_source.Path) -> str:
    """The path of a key as the reference names it: `cache.tiers[].ttl`."""
    return "".join("[]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _to_copy(keys: str) -> str | None:
    line = key_reference.example(keys.removesuffix("[]"))
    return f"For example: {line}" if line else None


def _belongs(key: str, keys: str, fields: list[str]) -> str | None:
    """Where a key that is unknown here belongs, by another name or in another place."""
    parent = keys.rpartition(".")[0]
    if parent.endswith("match"):
        return None
    other = key_reference.meant(key, fields) if not parent else None
    if other:
        return f"Did you mean '{other}'? For example: {key_reference.example(other)}"
    near = did_you_mean(key, key_reference.beside(parent))
    places = key_reference.elsewhere(key)
    if near.startswith("Did") or not places:
        return None
    line = key_reference.example(places[0].rpartition(".")[0].removesuffix("[]"))
    return f"'{key}' belongs to {places[0].rpartition('.')[0]}" + (f", as in {line}" if line else "")


def _deepest(path: tuple[Any, ...], lines: dict[yaml_source.Path, int]) -> yaml_source.Path:
    """The longest part of a pydantic location that stands in the file."""
    while path and path not in lines:
        path = path[:-1]
    return path
