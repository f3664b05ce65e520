"""Drop white space that no reader sees: trailing blanks, runs of blanks inside a line, runs of empty lines.

Indentation and everything inside a code fence stays: there it carries meaning.
"""

from __future__ import annotations

import re
from typing import Any

from replay.compressors import Compressor
from replay.message_text import rewrite

_TRAILING = re.compile(r"[ \t\r\f\v]+(?=\n|\Z)")
_INNER = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_FENCE = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)


def squeeze(text: str) -> str:
    """The same words in the same lines, without the blanks between them that carry nothing."""
    parts = _FENCE.split(text)
    for i in range(0, len(parts), 2):
        part = _TRAILING.sub("", parts[i])
        part = _INNER.sub(" ", part)
        parts[i] = _EMPTY_LINES.sub("\n\n", part)
    return "".join(parts).strip("\n")


def apply(message: Any) -> Any:
    return rewrite(message, squeeze)


COMPRESSOR = Compressor(apply, "message", lossless=True, prefix_stable=True)
