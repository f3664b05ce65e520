"""What varies between texts that are otherwise the same: the spans that make equal-looking prompts miss every cache.

Two texts belong to one template if they are equal once their typed spans (timestamps, ids, counters, ...) are masked,
if they hold the same paragraphs in another order, or, for the head of a prompt, if they differ in one stretch only.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AaPp][Mm])?"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
# the first that matches at a place wins
_KINDS = {
    "timestamp": rf"\d{{4}}-\d{{2}}-\d{{2}}[T ]{_CLOCK}{_ZONE}"
    rf"|(?:[A-Z][a-z]{{2,8}},? )?\d{{1,2}} {_MONTH} \d{{4}},? {_CLOCK}{_ZONE}"
    rf"|{_MONTH} \d{{1,2}}, \d{{4}},?(?: at)? {_CLOCK}{_ZONE}|\b1[4-9]\d{{8}}(?:\d{{3}})?(?:\.\d+)?\b",
    "uuid": r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b",
    "date": rf"\b\d{{4}}-\d{{2}}-\d{{2}}\b|\b\d{{1,2}}/\d{{1,2}}/\d{{2,4}}\b|\b\d{{1,2}} {_MONTH} \d{{4}}\b"
    rf"|\b{_MONTH} \d{{1,2}}, \d{{4}}\b",
    "time": rf"\b{_CLOCK}{_ZONE}",
    "user id": r"\b[\w.+-]+@[\w-]+\.[\w.]+\b|\b(?:user|usr|cus|customer|account|acct)[-_:#][A-Za-z0-9_-]{3,}\b",
    "id": r"\b(?:req|request|sess|session|trace|run|order|msg|call|job|tx|id|conv)[-_#][A-Za-z0-9_-]*\d[A-Za-z0-9_-]*\b"
    r"|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b",
    "number": r"\b\d+(?:\.\d+)?\b",
}
_SPAN = re.compile("|".join(f"(?P<k{number}>{pattern})" for number, pattern in enumerate(_KINDS.values())))
_NAMES = tuple(_KINDS)
HOLE = "\x00"
LEAST_COMMON = 0.6  # of the shorter text: what two heads must share at both ends to be one template
LEAST_PARAGRAPHS = 3


@dataclass(frozen=True)
class Slot:
    """One place of a template whose value varies. `start` is in characters of the first text of the template."""

    kind: str  # timestamp, uuid, date, time, user id, id, counter, number, text, order
    start: int
    length: int
    values: int  # distinct ones
    example: str


@dataclass(frozen=True)
class Template:
    """Texts (by number) that differ only in `slots`; the first of `members` stands for all of them."""

    members: tuple[int, ...]
    slots: tuple[Slot, ...]


def templates(texts: Sequence[tuple[int, Hashable, str]]) -> list[Template]:
    """Templates of (number, group, text): only texts of one group are compared. Each text is in at most one."""
    found: list[Template] = []
    rest = list(texts)
    for search in (_masked, _reordered, _one_stretch):
        new = search(rest)
        found += new
        taken = {number for template in new for number in template.members}
        rest = [entry for entry in rest if entry[0] not in taken]
    return found


def spans(text: str) -> list[tuple[str, int, int]]:
    """Typed spans of a text: (kind, start, end), in order."""
    return [(_NAMES[int(found.lastgroup[1:])], *found.span()) for found in _SPAN.finditer(text) if found.lastgroup]


def _masked(texts: Sequence[tuple[int, Hashable, str]]) -> list[Template]:
    """Texts that are equal once masked, one template per skeleton, with the slots that really vary."""
    alike: dict[tuple[Hashable, str], list[tuple[int, list[str], list[tuple[str, int, int]]]]] = defaultdict(list)
    for number, group, text in texts:
        places = spans(text)
        pieces, at = [], 0
        for kind, start, end in places:
            pieces.append(f"{text[at:start]}{HOLE}{kind}{HOLE}")
            at = end
        skeleton = "".join(pieces) + text[at:]
        alike[group, skeleton].append((number, [text[start:end] for _, start, end in places], places))
    result = []
    for members in alike.values():
        if len(members) < 2:
            continue
        slots = []
        for place, (kind, start, end) in enumerate(members[0][2]):
            values = [member[1][place] for member in members]
            distinct = len(set(values))
            if distinct > 1:
                name = "counter" if kind == "number" and _counts_up(values) else kind
                slots.append(Slot(name, start, end - start, distinct, values[0]))
        if slots:
            result.append(Template(tuple(member[0] for member in members), tuple(slots)))
    return result


def _counts_up(values: Sequence[str]) -> bool:
    """Whether whole numbers hardly ever fall from one text to the next, in order of appearance."""
    if not all(value.isdigit() for value in values):
        return False
    numbers = [int(value) for value in values]
    rising = sum(later > sooner for sooner, later in pairwise(numbers))
    return len(numbers) > 2 and rising >= 0.9 * (len(numbers) - 1)


def _reordered(texts: Sequence[tuple[int, Hashable, str]]) -> list[Template]:
    """Texts of the same paragraphs in another order, as retrieved documents come."""
    alike: dict[tuple[Hashable, str], list[tuple[int, str]]] = defaultdict(list)
    for number, group, text in texts:
        parts = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
        if len(parts) < LEAST_PARAGRAPHS:
            parts = [part for part in text.split("\n") if part.strip()]
        if len(parts) >= LEAST_PARAGRAPHS:
            alike[group, "\n".join(sorted(part.strip() for part in parts))].append((number, text))
    result = []
    for members in alike.values():
        if len(members) > 1:
            first, others = members[0][1], [text for _, text in members[1:]]
            start = min(_common(first, other) for other in others)
            end = len(first) - min(_common(first[start:][::-1], other[start:][::-1]) for other in others)
            slot = Slot("order", start, max(end - start, 1), len(members), first[start : start + 40])
            result.append(Template(tuple(number for number, _ in members), (slot,)))
    return result


def _one_stretch(texts: Sequence[tuple[int, Hashable, str]]) -> list[Template]:
    """Texts that begin and end alike and differ in between: a name, a retrieved passage, a user's settings."""
    result = []
    groups: dict[Hashable, list[tuple[int, str]]] = defaultdict(list)
    for number, group, text in texts:
        groups[group].append((number, text))
    for members in groups.values():
        clusters: list[list[tuple[int, str]]] = []
        for member in members:
            for cluster in clusters[:50]:
                first = cluster[0][1]
                head = _common(first, member[1])
                tail = _common(first[head:][::-1], member[1][head:][::-1])
                if head + tail >= LEAST_COMMON * min(len(first), len(member[1])) and head + tail > 100:
                    cluster.append(member)
                    break
            else:
                clusters.append([member])
        for cluster in clusters:
            if len(cluster) > 1:
                first, others = cluster[0][1], [text for _, text in cluster[1:]]
                head = min(_common(first, other) for other in others)
                tail = min(_common(first[head:][::-1], other[head:][::-1]) for other in others)
                length = max(len(first) - head - tail, 1)
                slot = Slot("text", head, length, len(cluster), first[head : head + 40])
                result.append(Template(tuple(number for number, _ in cluster), (slot,)))
    return result


def _common(left: str, right: str) -> int:
    """Length of the common beginning, by halving."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[:middle] == right[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
