"""Which models of the catalogue can have a name at all: a few comparisons instead of every clause of every model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

KINDS = ("equals", "starts_with", "ends_with", "regex", "contains")


class ClauseIndex:
    """The parts that clauses of a provider's models are made of, by kind.

    A clause joins its parts by `or` and `and`, and has no `not`: a text that fits no part fits no model.
    """

    def __init__(self, clauses: Iterable[Any]) -> None:
        parts: dict[str, set[str]] = {kind: set() for kind in KINDS}
        for kind, text in (part for clause in clauses for part in _parts(clause)):
            parts[kind].add(text if kind == "regex" else text.lower())
        self.equals = frozenset(parts["equals"])
        self.starts = tuple(sorted(parts["starts_with"]))
        self.ends = tuple(sorted(parts["ends_with"]))
        self.contains = tuple(sorted(parts["contains"]))
        self.regexes = [re.compile(text) for text in sorted(parts["regex"])]

    def may_match(self, text: str) -> bool:
        """False only where no clause matches `text`, which is lower case."""
        return (
            text in self.equals
            or text.startswith(self.starts)
            or text.endswith(self.ends)
            or any(part in text for part in self.contains)
            or any(regex.search(text) for regex in self.regexes)
        )


def _parts(clause: Any) -> Iterator[tuple[str, str]]:
    for joined in ("or_", "and_"):
        for part in getattr(clause, joined, ()):
            yield from _parts(part)
    for kind in KINDS:
        if hasattr(clause, kind):
            yield kind, getattr(clause, kind)
