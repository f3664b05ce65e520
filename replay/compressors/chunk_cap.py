"""Keep a few of the retrieved chunks of a prompt: the first, or the most relevant. Lossy: the others may have mattered.

Chunks are elements such as `<document>` (the innermost ones, where `<context>` stands around them), else paragraphs
numbered [1], [2], ... Relevance is Okapi BM25 (Robertson and Zaragoza, 2009, k1 = 1.5, b = 0.75) of the message's own
words outside the chunks; where there are none, or no chunk shares one, the retriever's order decides.
"""

from __future__ import annotations

import re
from collections import Counter
from math import log
from typing import Any, Final

from replay.compressors import Compressor
from replay.message_text import rewrite

_TAG = re.compile(r"<(/?)(documents?|docs?|chunks?|sources?|passages?|contexts?|results?)\b[^<>]*>", re.IGNORECASE)
_NUMBERED = re.compile(r"(?mi)^[ \t]*(?:\[(\d+)\]|(?:document|source|passage|chunk|result)[ \t]*#?(\d+)[ \t]*[:.)])")
_WORD = re.compile(r"\w{2,}")
_K1: Final = 1.5
_B: Final = 0.75
Span = tuple[int, int]


def apply(message: Any, chunks: int = 5, relevance: bool = False) -> Any:
    """The message with at most `chunks` chunks; with `relevance` those that share most with the rest of the message."""
    return rewrite(message, lambda text: _cap(text, chunks, relevance))


def _cap(text: str, chunks: int, relevance: bool) -> str:
    spans = _elements(text) or _paragraphs(text)
    if len(spans) <= chunks:
        return text
    kept = set(_most_relevant(text, spans, chunks) if relevance else range(chunks))
    dropped = [span for place, span in enumerate(spans) if place not in kept]
    for start, end in reversed(dropped):
        text = text[:start] + text[end:]
    return text


def _elements(text: str) -> list[Span]:
    """Elements of one kind without another of these inside, each with the white space after it."""
    opened: list[tuple[str, int, bool]] = []  # name, start, whether an element was inside
    found: list[Span] = []
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            opened.append((name, tag.start(), False))
            continue
        if name not in (held for held, _, _ in opened):
            continue
        while opened[-1][0] != name:
            opened.pop()  # never closed
        _, start, has_inside = opened.pop()
        if not has_inside:
            end = tag.end()
            while end < len(text) and text[end].isspace():
                end += 1
            found.append((start, end))
        if opened:
            opened[-1] = (*opened[-1][:2], True)
    return found


def _paragraphs(text: str) -> list[Span]:
    """Paragraphs with running numbers: from one number to the next, the last to an empty line or the end."""
    heads = list(_NUMBERED.finditer(text))
    numbers = [int(found[1] or found[2]) for found in heads]
    if not heads or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return []  # not one run of chunks: better leave it
    starts = [found.start() - (found.start() > 0) for found in heads]  # with the line feed before it
    blank = text.find("\n\n", heads[-1].end())
    return list(zip(starts, [*starts[1:], blank if blank >= 0 else len(text)], strict=True))


def _most_relevant(text: str, spans: list[Span], chunks: int) -> list[int]:
    """The places of the chunks with the highest score, ties in the order of the text."""
    rest, done = [], 0
    for start, end in spans:
        rest.append(text[done:start])
        done = end
    asked = set(_words(_TAG.sub(" ", "".join([*rest, text[done:]]))))
    counts = [Counter(_words(text[start:end])) for start, end in spans]
    mean = sum(map(Counter.total, counts)) / len(counts) or 1.0
    holding = Counter(word for count in counts for word in count if word in asked)
    weight = {word: log(1 + (len(counts) - n + 0.5) / (n + 0.5)) for word, n in holding.items()}

    def score(count: Counter[str]) -> float:
        length = _K1 * (1 - _B + _B * count.total() / mean)
        return sum(weight[word] * count[word] * (_K1 + 1) / (count[word] + length) for word in weight if count[word])

    scores = [score(count) for count in counts]
    return sorted(sorted(range(len(spans)), key=lambda place: -scores[place])[:chunks])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


COMPRESSOR = Compressor(
    apply,
    "message",
    lossless=False,
    prefix_stable=True,
    parameters={"chunks": 5, "relevance": False},
    about={"chunks": "how many chunks stay", "relevance": "keep those most like the question (BM25), not the first"},
    main_parameter="chunks",
)
