"""Write JSON inside messages without the blanks between its tokens: a whole message, a fenced block, a result.

Only white space outside strings goes, so numbers, key order and repeated keys stay exactly as they were written.
"""

from __future__ import annotations

import json
import re
from typing import Any

from replay.compressors import Compressor
from replay.message_text import rewrite

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|\s+', re.DOTALL)
_FENCE = re.compile(r"(```(?:json)?[ \t]*\n)(.*?)(\n```)", re.DOTALL)
_START = re.compile(r"(?m)^[ \t]*(?=[\[{])")
_DECODER = json.JSONDecoder()


def minify(text: str) -> str:
    """The text with every JSON document in it written compactly; what is not JSON stays as it is."""
    if not any(mark in text for mark in ("{", "[")) or not re.search(r"\s", text):
        return text
    return _minify_blocks(_FENCE.sub(lambda found: found[1] + _compact(found[2]) + found[3], text))


def _compact(document: str) -> str:
    if not _is_json(document):
        return document
    return _TOKEN.sub(lambda found: found[1] or "", document)


def _is_json(document: str) -> bool:
    try:
        json.loads(document)
    except (ValueError, RecursionError):
        return False
    return True


def _minify_blocks(text: str) -> str:
    """Objects and arrays that begin a line, wherever they end."""
    pieces = []
    done = 0
    for found in _START.finditer(text):
        if found.end() < done:
            continue
        try:
            _, end = _DECODER.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            continue
        if end < len(text) and text[end] not in "\r\n \t":  # a longer thing that only begins like JSON
            continue
        if "\n" not in text[found.end() : end] and " " not in text[found.end() : end]:
            continue
        pieces += [text[done : found.end()], _compact(text[found.end() : end])]
        done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def apply(message: Any) -> Any:
    return rewrite(message, minify)


COMPRESSOR = Compressor(apply, "message", lossless=True, prefix_stable=True)
