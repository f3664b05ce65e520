"""What can be saved of a line that is no JSON: the whole records in it, and a word about what is lost.

Writers that crash or share a file leave two records on one line, a cut record before a whole one, a run of NULs, half
a character. All is found in linear time, and nothing inside a cut record is taken for a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

BOM = b"\xef\xbb\xbf"
_NOISE = "\x00\x1e\ufeff \t\r\n,"  # between records: padding, separators of RFC 7464, byte-order marks
_STRUCTURE = re.compile(r'["{}\[\]]')
_LEADING = re.compile(f"[{_NOISE}]*")
_MOST = 1_000  # records that are looked for from each end of a line
_SCAN = 1 << 12
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_KEYS = re.compile(r'\{\s*"([^"\\]*)"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[^,{}\[\]"]*)\s*,\s*"([^"\\]*)"')


def _any_integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 300 else float(digits)


_decoder = json.JSONDecoder(strict=False, parse_int=_any_integer)


def readable(line: bytes) -> str:
    """The line as text: what is no UTF-8, and halves of surrogate pairs, become U+FFFD."""
    if b"\\u" in line:
        line = _ESCAPES.sub(lambda found: rb"\ufffd" if found[1] else found[0], line)
    return line.decode("utf-8", "replace")


def whole_value(text: str) -> Any:
    """The one value that the text is, numbers of any size and NaN included. Raises ValueError or RecursionError."""
    return _decoder.decode(text.strip(_NOISE))


def whole_records(text: str) -> tuple[list[tuple[str, Any]], str]:
    """(the whole objects and lists of a line, each as text and value; what else stands there, which is lost)."""
    found, at = _from_the_left(text)
    tail, end = _from_the_right(text, at)
    lost = text[at:end].strip(_NOISE)
    if "\x00" in text:
        lost = lost or "\x00" * text.count("\x00")
    elif not any(mark in lost for mark in '{}"'):  # a prefix of a text log
        lost = ""
    return found + tail, lost


def _from_the_left(text: str) -> tuple[list[tuple[str, Any]], int]:
    found: list[tuple[str, Any]] = []
    at = 0
    while len(found) < _MOST:
        start = _LEADING.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if start == len(text) or text[start] not in "{[":
            return found, start
        try:
            value, at = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return found, start
        found.append((text[start:at], value))
    return found, at


def _from_the_right(text: str, low: int) -> tuple[list[tuple[str, Any]], int]:
    found: list[tuple[str, Any]] = []
    end = len(text)
    names = _KEYS.match(text)
    while len(found) < _MOST:
        stop = _without(_NOISE, text, low, end)
        start = _object_start(text, low, stop)
        if start is None:
            break
        piece = text[start:stop]
        if _inside_another(text, low, start) and not (
            names and (own := _KEYS.match(piece)) and own.groups() == names.groups()
        ):
            break
        try:
            value = _decoder.decode(piece)
        except (ValueError, RecursionError):
            break
        found.append((piece, value))
        end = start
    return found[::-1], end


def _inside_another(text: str, low: int, start: int) -> bool:
    """Whether what stands before may hold the object as a value of its own."""
    before = _without(" \t\r", text, low, start)
    return before > low and text[before - 1] in ":,["


def _without(marks: str, text: str, low: int, stop: int) -> int:
    """Where text[low:stop] ends without its last characters that are `marks`, in time by their number."""
    while stop > low:
        piece = text[max(low, stop - _SCAN) : stop]
        left = len(piece.rstrip(marks))
        stop -= len(piece) - left
        if left:
            break
    return stop


def _object_start(text: str, low: int, stop: int) -> int | None:
    """Where the object that ends before `stop` begins, at `low` or behind it; None if there is no such object.

    Read backwards: behind a whole object no string is open, so that every quote without a backslash opens or ends one.
    """
    if stop <= low or text[stop - 1] != "}":
        return None
    depth = 0
    inside = False
    block_end = stop
    while block_end > low:
        block = max(low, block_end - _SCAN)
        for found in reversed(list(_STRUCTURE.finditer(text, block, block_end))):
            place = found.start()
            mark = text[place]
            if mark == '"':
                slashes = place
                while slashes > low and text[slashes - 1] == "\\":
                    slashes -= 1
                if (place - slashes) % 2 == 0:
                    inside = not inside
            elif not inside:
                depth += 1 if mark in "}]" else -1
                if depth == 0:
                    return place if mark == "{" else None
        block_end = block
    return None


def records_between(body: bytes, start: bytes) -> Iterator[tuple[int, bytes]]:
    """(first line, bytes) of every piece of `body` that begins with `start` at the beginning of a line."""
    line = 1
    at = 0
    while at < len(body):
        following = body.find(b"\n" + start, at + 1)
        end = len(body) if following < 0 else following + 1
        yield line, body[at:end]
        line += body.count(b"\n", at, end)
        at = end
