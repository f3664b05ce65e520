"""Say a repeated paragraph once: later copies in the same request become a pointer that quotes how the first begins.

A pointer depends only on what stands before it, so a conversation that grows keeps its prefix. `expand` undoes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from replay.compressors import Compressor
from replay.message_text import rewrite, texts
from replay.traffic.prompt_rewriting import Requests
from replay.traffic.prompts import KINDS

_BREAK = re.compile(r"(\n[ \t]*\n\s*)")
_LEAD = 48  # characters that a pointer quotes
_SPOKEN = [number for number, kind in enumerate(KINDS) if kind != "tools"]


def apply(request: Requests, characters: int = 120) -> None:
    """Replace every paragraph of at least `characters` characters that already stood in the same request."""
    characters = max(characters, 2 * _LEAD)
    inside = np.repeat(request.selected, np.diff(request.offsets)) & np.isin(request.kinds(), _SPOKEN)
    numbers = np.unique(request.ids[inside]).tolist()
    paragraphs = {number: list(_paragraphs(request.message(number), characters)) for number in numbers}
    # only contents that begin a paragraph alike can repeat one: the others need no second look
    counts: dict[str, int] = {}
    for found in paragraphs.values():
        for paragraph in found:
            counts[paragraph[:_LEAD]] = counts.get(paragraph[:_LEAD], 0) + 1
    alike = {
        number: found
        for number, found in paragraphs.items()
        if any(counts[paragraph[:_LEAD]] > 1 for paragraph in found)
    }
    if not alike:
        return
    table = np.zeros(numbers[-1] + 1, bool)
    table[list(alike)] = True
    places = np.flatnonzero(inside)
    places = places[table[request.ids[places]]]
    memo: dict[tuple[int, tuple[bool, ...]], int] = {}
    new = request.ids[places].copy()
    row, first = -1, dict[str, str]()
    for at, (number, of) in enumerate(zip(new.tolist(), request.rows()[places].tolist(), strict=True)):
        if of != row:
            row, first = of, {}
        repeated = tuple(_stood_before(text, first) for text in alike[number])
        if not any(repeated):
            continue
        if (number, repeated) not in memo:
            memo[number, repeated] = _shortened(request, number, repeated, characters)
        new[at] = memo[number, repeated]
    request.put(places, new)


def _stood_before(paragraph: str, first: dict[str, str]) -> bool:
    """Whether the request's first paragraph that begins like this one is the same; remembers it if there is none."""
    lead = paragraph[:_LEAD]
    if lead in first:
        return first[lead] == paragraph
    first[lead] = paragraph
    return False


def expand(texts_in_order: list[str], characters: int = 120) -> list[str]:
    """The texts of a compressed request with every pointer written out again."""
    characters = max(characters, 2 * _LEAD)
    first: dict[str, str] = {}
    result = []
    for text in texts_in_order:
        parts = _BREAK.split(text)
        for i in range(0, len(parts), 2):
            if parts[i].startswith('[as above: "') and parts[i].endswith('..."]'):
                parts[i] = first.get(parts[i][12:-5], parts[i])
            elif len(parts[i]) >= characters:
                first.setdefault(parts[i][:_LEAD], parts[i])
        result.append("".join(parts))
    return result


def _paragraphs(message: Any, characters: int) -> Iterator[str]:
    for text in texts(message):
        yield from (part for part in _BREAK.split(text)[::2] if len(part) >= characters)


def _shortened(request: Requests, number: int, repeated: tuple[bool, ...], characters: int) -> int:
    which = iter(repeated)

    def shorten(text: str) -> str:
        parts = _BREAK.split(text)
        for i in range(0, len(parts), 2):
            if len(parts[i]) >= characters and next(which):
                parts[i] = f'[as above: "{parts[i][:_LEAD]}..."]'
        return "".join(parts)

    kind = int(request.kinds_of(np.array([number], np.int32))[0])
    return request.intern(rewrite(request.message(number), shorten), kind)


COMPRESSOR = Compressor(
    apply,
    "request",
    lossless=True,
    prefix_stable=True,
    parameters={"characters": 120},
    about={"characters": "shorter paragraphs stay"},
    main_parameter="characters",
)
