"""Keep the first few retrieved chunks of a prompt. Lossy: it trusts the retriever's order."""

from __future__ import annotations

import re
from typing import Any

from replay.compressors import Compressor
from replay.message_text import rewrite

_TAGGED = re.compile(r"<(document|doc|chunk|source|passage|context)\b[^>]*>.*?</\1>\s*", re.DOTALL | re.IGNORECASE)
_NUMBERED = re.compile(r"(?mi)^[ \t]*(?:\[(\d+)\]|(?:document|source|passage|chunk|result)[ \t]*#?(\d+)[ \t]*[:.)])")


def apply(message: Any, chunks: int = 5) -> Any:
    """The message with at most `chunks` chunks: `<document>` elements, or paragraphs numbered [1], [2], ..."""
    return rewrite(message, lambda text: _cap(text, chunks))


def _cap(text: str, chunks: int) -> str:
    tagged = list(_TAGGED.finditer(text))
    if len(tagged) > chunks:
        for found in reversed(tagged[chunks:]):
            text = text[: found.start()] + text[found.end() :]
        return text
    heads = list(_NUMBERED.finditer(text))
    numbers = [int(found[1] or found[2]) for found in heads]
    if len(heads) <= chunks or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return text  # not one run of chunks: better leave it
    start = heads[chunks].start()
    blank = text.find("\n\n", heads[-1].end())
    return text[:start].rstrip() + (text[blank:] if blank >= 0 else "")


COMPRESSOR = Compressor(
    apply, "message", lossless=False, prefix_stable=True, parameters={"chunks": 5}, main_parameter="chunks"
)
