"""Texts as sums of measured pieces: the same draw gives token and word counts at once, and the words when asked for.

A text is made of pieces that the cl100k tokenizer never merges across (a sentence, a full stop with its blank space,
an indented JSON record), each counted once. So the counts of a message that is logged without its text are exact, and
distributed as those of the messages that are logged with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from ingest.contents.tokenizer import FRAME_TOKENS, count
from sample_logs import wording

ENCODING = "cl100k_base"
PARAGRAPH = 4  # sentences
BLANK_IN_LINE = (".", ". ", ".", ".  ", ".", ".\t")  # a full stop and what a scraped page leaves behind it
BLANK_LINES = (".\n\n", ".  \n\n", ".\n \n\n", ".\n\n\n\n", ".   \n\t\n\n")
JSON_HEAD, JSON_TAIL = '{\n  "tool": "%s",\n  "items": [\n', "  ]\n}"

Counts = NDArray[np.int64]


class Text(NamedTuple):
    """A text's size, and the text itself where it is wanted."""

    tokens: int
    words: int
    text: str | None


def measure(pieces: Sequence[str]) -> Counts:
    """Tokens of each piece on its own."""
    return np.array([count(piece, ENCODING) for piece in pieces], dtype=np.int64)


def _word_counts(pieces: Sequence[str]) -> Counts:
    return np.array([len(piece.split()) for piece in pieces], dtype=np.int64)


@cache
def fixed(text: str) -> Text:
    """A text that never varies, counted as a whole."""
    return Text(count(text, ENCODING), len(text.split()), text)


IN_LINE_TOKENS, LINES_TOKENS = measure(BLANK_IN_LINE), measure(BLANK_LINES)


class Records:
    """JSON records of one kind, indented, with their sizes followed by a comma and as the last of the list."""

    def __init__(self, kind: str, records: Sequence[dict[str, object]]) -> None:
        self.pieces = [wording.pretty(record) for record in records]
        self.followed = measure([piece + ",\n" for piece in self.pieces])
        self.last = measure([piece + "\n" for piece in self.pieces])
        self.words = _word_counts(self.pieces)
        self.head = JSON_HEAD % kind
        self.frame_tokens = int(measure([self.head, JSON_TAIL]).sum())
        self.frame_words = len(self.head.split()) + len(JSON_TAIL.split())
        self.mean = float(self.followed.mean())

    def draw(self, rng: Generator, size: float, full: bool) -> Text:
        """A JSON document of about `size` tokens."""
        chosen = rng.integers(0, len(self.pieces), max(1, round(size / self.mean)))
        tokens = self.frame_tokens + int(self.followed[chosen[:-1]].sum() + self.last[chosen[-1]])
        words = self.frame_words + int(self.words[chosen].sum())
        if not full:
            return Text(tokens, words, None)
        return Text(tokens, words, self.head + ",\n".join(self.pieces[i] for i in chosen) + "\n" + JSON_TAIL)


@dataclass(frozen=True)
class Shape:
    """How a prose text is set: as paragraphs, as a list, or as a scraped page between two copies of its navigation."""

    bullets: bool = False
    scraped: bool = False


PROSE, BULLETS, PAGE = Shape(), Shape(bullets=True), Shape(scraped=True)


class Beat:
    """The sentences, records and page furniture of one subject area, measured once."""

    def __init__(self, name: str, seed: int = 0) -> None:
        rng = default_rng(SeedSequence([seed, list(wording.BEATS).index(name)]))
        self.name = name
        self.lines = wording.sentences(rng, name, 320)
        self.first = measure(self.lines)
        self.inner = measure([" " + line for line in self.lines])
        self.words = _word_counts(self.lines)
        self.mean = float(self.inner.mean()) + 1
        self.results = Records("web_search", wording.search_results(rng, name, self.lines, 160))
        self.facts = Records("fact_table", wording.facts(rng, name, self.lines[100:], 160))
        self.keywords = Records("keyword_table", wording.keywords(rng, name, 120))
        self.furniture = [fixed(self._furniture(rng)) for _ in range(12)]

    def _furniture(self, rng: Generator) -> str:
        """Navigation, cookie notice and footer of one site, as a scraper returns them."""
        links = "   |   ".join(str(rng.choice(pool)) for pool in wording.BEATS[self.name] for _ in range(4))
        return (
            f"Home   |   {links}   |   Contact\n\n\n"
            "This site uses cookies to remember your settings and to count visits. Read the notice for the list of "
            "purposes and partners, or change your choice at any time at the foot of the page.\n \n\n"
            f"Subscribe to our letter on {rng.choice(wording.BEATS[self.name][1])} and get the checklist every "
            "month. No spam, and one click to leave.\n\n\n"
        )

    def draw(self, rng: Generator, size: float, full: bool, shape: Shape = PROSE) -> Text:
        """A text of about `size` tokens; it ends in a full stop, a page in its furniture."""
        number = max(2, round(size / self.mean))
        chosen = rng.integers(0, len(self.lines), number)
        words = int(self.words[chosen].sum())
        inner = int(self.inner[chosen].sum())
        if shape.bullets:  # "- Sentence.\n"
            text = "".join(f"- {self.lines[i]}.\n" for i in chosen)[:-1] if full else None
            return Text(inner + 2 * number, words + number, text)
        starts = chosen[::PARAGRAPH]
        tokens = inner + int((self.first[starts] - self.inner[starts]).sum())
        if not shape.scraped:
            return Text(tokens + number, words, self._paragraphs(chosen) if full else None)
        side = self.furniture[rng.integers(len(self.furniture))]
        stops = rng.integers(0, len(BLANK_IN_LINE), number)
        breaks = rng.integers(0, len(BLANK_LINES), number)
        ends = np.arange(number) % PARAGRAPH == PARAGRAPH - 1
        ends[-1] = True
        tokens += int(np.where(ends, LINES_TOKENS[breaks], IN_LINE_TOKENS[stops]).sum()) + 2 * side.tokens
        words += 2 * side.words
        if not full:
            return Text(tokens, words, None)
        parts = [side.text or ""]
        for position, index in enumerate(chosen):
            parts.append(self.lines[index] if position % PARAGRAPH == 0 else " " + self.lines[index])
            parts.append(BLANK_LINES[breaks[position]] if ends[position] else BLANK_IN_LINE[stops[position]])
        return Text(tokens, words, "".join([*parts, side.text or ""]))

    def _paragraphs(self, chosen: Counts) -> str:
        lines = [self.lines[i] for i in chosen]
        return "\n\n".join(". ".join(lines[i : i + PARAGRAPH]) + "." for i in range(0, len(lines), PARAGRAPH))


def join(parts: Sequence[Text], full: bool) -> Text:
    """Texts that each end in punctuation, set apart by a blank line."""
    text = "\n\n".join(part.text or "" for part in parts) if full else None
    return Text(sum(part.tokens for part in parts), sum(part.words for part in parts), text)


class Message(NamedTuple):
    """A message as it stands in the log: its JSON object, and its size with the tokens that frame it."""

    logged: str
    tokens: int
    words: int


def message(role: str, text: Text, name: str, full: bool) -> Message:
    """The message of `text`; without `full`, or without text, only its hash and its size are logged.

    The hash is that of the message's canonical JSON where the text is known, else of the piece's unique `name`.
    """
    tokens = text.tokens + FRAME_TOKENS
    if full and text.text is not None:
        return Message(json.dumps({"role": role, "content": text.text}), tokens, text.words)
    if text.text is not None:
        name = json.dumps({"content": text.text, "role": role}, separators=(",", ":"))
    digest = hashlib.sha256(name.encode()).hexdigest()
    logged = f'{{"role":"{role}","sha256":"{digest}","tokens":{tokens},"words":{text.words},"encoding":"{ENCODING}"}}'
    return Message(logged, tokens, text.words)
