"""YAML that remembers where each value stood, so that an error can name the line a person has to change."""

from __future__ import annotations

from typing import Any

import yaml

from ingest.errors import StrategyError

MAX_BYTES = 1_000_000
MAX_NODES = 50_000
_BOOLEAN = "tag:yaml.org,2002:bool"
Path = tuple[str | int, ...]


def parse(text: str, where: str) -> tuple[Any, dict[Path, int]]:
    """The plain value of a YAML document, and the 1-based line of every key and list item in it by its path.

    Raises StrategyError for text that is not YAML, for a key given twice, and for a document that unfolds into more
    than 50,000 values (which only aliases nested in aliases do).
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise StrategyError(f"larger than {MAX_BYTES:,} bytes", where=where, remedy="A strategy file is a page or two.")
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:
        raise StrategyError(f"not valid YAML: {str(error).splitlines()[0]}", where=where) from error
    try:
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        if node is None:
            return None, lines
        budget = [MAX_NODES]
        return _value(loader, node, (), lines, where, budget), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise StrategyError(f"not valid YAML: {error.problem or error.context}", where=place) from error
    except (yaml.YAMLError, ValueError) as error:
        raise StrategyError(f"not valid YAML: {str(error).splitlines()[0]}", where=where) from error
    except RecursionError as error:
        raise StrategyError("nested too deeply", where=where) from error
    finally:
        loader.dispose()


def _value(
    loader: yaml.SafeLoader, node: yaml.Node, path: Path, lines: dict[Path, int], where: str, budget: list[int]
) -> Any:
    budget[0] -= 1
    line = node.start_mark.line + 1
    if budget[0] < 0:
        raise StrategyError(f"unfolds into more than {MAX_NODES:,} values", where=f"{where}:{line}")
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise StrategyError("a key must be a plain word", where=f"{where}:{key_line}")
            key = str(key_node.value)  # as written: `on:` is the word, not a boolean
            if key in result:
                raise StrategyError(
                    f"'{key}' is given twice", where=f"{where}:{key_line}", remedy="Keep one of the two."
                )
            lines[(*path, key)] = key_line
            result[key] = _value(loader, value_node, (*path, key), lines, where, budget)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, i), lines, where, budget) for i, item in enumerate(node.value)]
    if node.tag == _BOOLEAN and node.value.lower() not in ("true", "false"):
        return node.value  # YAML 1.2: `off` and `no` are words, and so may be the name of a strategy or a task
    return loader.construct_object(node, deep=True)
