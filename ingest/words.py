"""Counting the words of a text: what `str.split` would make of it, without making it."""

from __future__ import annotations

import numpy as np

_SPLIT_BELOW = 300  # characters: below them the split itself is faster (measured)
_BLANK = bytes(0 if number < 128 and chr(number).isspace() else 1 for number in range(256))


def count_words(text: str) -> int:
    """len(text.split()): runs of characters that are not whitespace."""
    if len(text) < _SPLIT_BELOW or not text.isascii():
        return len(text.split())
    marks = np.frombuffer(text.encode().translate(_BLANK), np.uint8)
    return int(np.count_nonzero(marks[1:] > marks[:-1])) + int(marks[0])
