"""The text of a prompt's file as it stands in a prompt: verbatim, or with its placeholders filled in.

Placeholders are those of Python's `str.format` and f-strings, Jinja, Mustache and shell: `{name}`, `{{ name }}`,
`${name}`, `%(name)s`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

_SLOT: Final = re.compile(
    r"\{\{\{?\s*([A-Za-z_][\w.\[\]-]*)\s*\}?\}\}|\$\{([A-Za-z_]\w*)\}|\{([A-Za-z_][\w.]*)\}|%\(([A-Za-z_]\w*)\)s"
)


@dataclass(frozen=True)
class Pattern:
    """Literal texts with a slot between each two of them; `names` are of the slots."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    def find(self, text: str) -> tuple[int, int, dict[str, str]] | None:
        """(start, end, values) of its first place in a text, each literal taken as early as it comes; None if none.

        A slot at the very beginning or end reaches to the text's.
        """
        at = text.find(self.literals[0])
        if at < 0:
            return None
        start = 0 if self.names and not self.literals[0] else at
        at += len(self.literals[0])
        values: dict[str, str] = {}
        for place, (name, literal) in enumerate(zip(self.names, self.literals[1:], strict=True), 1):
            last = place == len(self.names)
            found = len(text) if last and not literal else text.find(literal, at)
            if found < 0:
                return None
            value = text[at:found]
            if values.setdefault(name, value) != value:
                return None
            at = found + len(literal)
        return start, at, values

    @cached_property
    def needle(self) -> str:
        """What the JSON of a text that holds the pattern holds too: its longest literal."""
        return msgspec.json.encode(max(self.literals, key=len)).decode()[1:-1]


@dataclass(frozen=True)
class Replacement:
    """Puts the text of one file in the place of another's, where that is no part of a longer word."""

    old: str
    new: str

    @cached_property
    def _patterns(self) -> tuple[tuple[Pattern, Pattern], ...]:
        """Ways to read the two files, the plainest first; each is (old, new)."""
        found = [(Pattern((self.old,), ()), Pattern((self.new,), ()))]
        found += [(_parsed(self.old, double), _parsed(self.new, double)) for double in (False, True)]
        usable = [pair for pair in found if max(len(literal.strip()) for literal in pair[0].literals) > 0]
        return tuple({pair[0]: pair for pair in reversed(usable)}.values())[::-1]

    @cached_property
    def needles(self) -> tuple[str, ...]:
        """A text that uses the old one holds one of these in its JSON."""
        return tuple(dict.fromkeys(old.needle for old, _ in self._patterns))

    def apply(self, text: str) -> str | None:
        """The text with the new one in the place of the old one; None where the old one is not in it."""
        if self.old in text:
            changed, times = self._whole.subn(lambda _found: self.new, text)
            if times:
                return changed
        for old, new in self._patterns[1:]:
            found = old.find(text)
            if found is not None and _stands_alone(text, *found[:2]):
                start, end, values = found
                return text[:start] + _filled(new, values) + text[end:]
        return None

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        """The old text where it is not a part of a longer word."""
        before = r"(?<!\w)" if _is_word(self.old[:1]) else ""
        after = r"(?!\w)" if _is_word(self.old[-1:]) else ""
        return re.compile(f"{before}{re.escape(self.old)}{after}")

    @cached_property
    def unfilled(self) -> tuple[str, ...]:
        """Placeholders of the new text that the old one has not: what would stand there is in no log."""
        old, new = (set(_parsed(text, double=False).names) for text in (self.old, self.new))
        return tuple(sorted(new - old))


def _is_word(char: str) -> bool:
    return re.fullmatch(r"\w", char) is not None


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether what lies from `start` to `end` begins and ends where words do."""
    sides = (
        (text[start - 1 : start] if start else "", text[start : start + 1]),
        (text[end - 1 : end], text[end : end + 1]),
    )
    return not any(_is_word(one) and _is_word(other) for one, other in sides)


def _filled(pattern: Pattern, values: dict[str, str]) -> str:
    parts = [pattern.literals[0]]
    for name, literal in zip(pattern.names, pattern.literals[1:], strict=True):
        parts += [values.get(name, f"{{{name}}}"), literal]
    return "".join(parts)


def _parsed(text: str, double: bool) -> Pattern:
    """The text cut at its placeholders; with `double` as `str.format` reads it, where `{{` stands for a brace."""
    literals: list[str] = []
    names: list[str] = []
    at = 0
    for found in _SLOT.finditer(text):
        if double and found[1] is not None:  # an escaped brace around a name, not a slot
            continue
        literals.append(text[at : found.start()])
        names.append(next(name for name in found.groups() if name is not None))
        at = found.end()
    literals.append(text[at:])
    if double:
        literals = [literal.replace("{{", "{").replace("}}", "}") for literal in literals]
    return Pattern(tuple(literals), tuple(names))


def first_difference(old: str, new: str) -> tuple[int, int] | None:
    """(byte, line) of the first difference of two texts in UTF-8: the bytes before it, and its line from 1. None where
    they are equal."""
    if old == new:
        return None
    before, after = old.encode(), new.encode()
    shorter = min(len(before), len(after))
    at = next((place for place in range(shorter) if before[place] != after[place]), shorter)
    return at, before[:at].count(b"\n") + 1


def likeness(old: str, texts: Sequence[str]) -> list[float]:
    """The share of the words of `old`, five in a row, that each text holds too."""
    wanted = _runs(old)
    return [len(wanted & _runs(text)) / len(wanted) if wanted else 0.0 for text in texts]


def _runs(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[place : place + 5]) for place in range(max(len(words) - 4, 1))}
