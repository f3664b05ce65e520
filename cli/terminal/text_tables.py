"""Tables as lines of text: numbers are never broken, however narrow the terminal.

Where a table is too wide, its texts fold; where that is not enough, the columns go into parts below each other, each
with what names its rows again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

GAP = 2
UNBOUNDED = 10**6  # cells: the width of what no terminal shows
TEXT = 12  # a column of text is not folded to less than this, as long as the width allows
LEAST = 6
LONG_FIGURE = 24  # what is longer stands for several figures, and may fold between them
_NUMBER = re.compile(r"[-+±$(]*\d[\d.,:/%+-]*(?: \d\d:[\d:.]+)?\)?")
_SPACE = re.compile(r" (?!\d\d:\d\d)")  # a day and its time are one word
_SEAMS = "-_/:"


def lay_out(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int], width: int
) -> Iterator[tuple[str, bool]]:
    """Lines and whether each is a header; the columns in `left` read from the left, all others are figures."""
    wanted = [max(cells(line[i]) for line in (headers, *rows)) for i in range(len(headers))]
    least = [_least(headers[i], [row[i] for row in rows], i in left) for i in range(len(headers))]
    for number, (columns, floors) in enumerate(_parts(least, left, width)):
        if number:
            yield "", False
        widths = _widths([wanted[i] for i in columns], floors, width)
        for place, line in enumerate((headers, *rows)):
            folded = [fold(line[i], wide) for i, wide in zip(columns, widths, strict=True)]
            for step in range(max(len(pieces) for pieces in folded)):
                texts = [
                    _pad(pieces[step] if step < len(pieces) else "", wide, i in left)
                    for i, pieces, wide in zip(columns, folded, widths, strict=True)
                ]
                yield (" " * GAP).join(texts).rstrip(" "), place == 0


def fitting(lines: Sequence[Sequence[str]], optional: Sequence[int], width: int) -> tuple[list[int], list[int]]:
    """(the columns to show, those to leave out): `optional` ones go, in their order, until whole rows fit."""
    wanted = [max(cells(line[i]) for line in lines) for i in range(len(lines[0]))]
    columns, gone = list(range(len(wanted))), []
    for i in optional:
        if _total([wanted[k] for k in columns]) <= width:
            break
        columns.remove(i)
        gone.append(i)
    return columns, gone


def cells(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii() or max(text) < "\u0300":
        return len(text)
    from rich.cells import cell_len  # an import that few tables need

    return cell_len(text)


def fold(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells: between words, else at a seam of a name; a number stays whole."""
    if cells(text) <= width:
        return [text]
    lines: list[str] = []
    line = ""
    for word in _SPACE.split(text):
        longer = f"{line} {word}" if line else word
        if cells(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while cells(word) > width and not _NUMBER.fullmatch(word):
            cut = _cut(word, width)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line or not lines else lines


def _cut(word: str, width: int) -> int:
    cut = 1
    while cut < len(word) and cells(word[: cut + 1]) <= width:
        cut += 1
    seam = max(word.rfind(mark, 0, cut) for mark in _SEAMS) + 1
    return seam if 2 * seam > cut else cut


def _least(header: str, texts: Sequence[str], is_text: bool) -> int:
    """The width that a column needs: its numbers whole, and so much of its words as can be read."""
    words = [word for text in texts for word in _SPACE.split(text)]
    numbers = max((cells(word) for word in words if _NUMBER.fullmatch(word)), default=1)
    whole = max(map(cells, texts), default=0)
    if is_text:
        return max(numbers, min(max(whole, _longest(header)), TEXT))
    if whole > LONG_FIGURE:
        whole = max(numbers, min(max(map(cells, words)), LONG_FIGURE))
    return max(whole, min(_longest(header), TEXT), 1)


def _longest(text: str) -> int:
    return max(map(cells, text.split(" ")))


def _parts(least: Sequence[int], left: Sequence[int], width: int) -> Iterator[tuple[list[int], list[int]]]:
    """The columns of each part and their least widths: one part if they fit, else some with the names of rows."""
    everything = list(range(len(least)))
    if _total(least) <= width:
        yield everything, list(least)
        return
    texts = sorted(left)[:2]
    keys = texts if texts == [0, 1] else texts[:1]
    others = [i for i in everything if i not in keys] or [keys.pop()]
    names = [least[i] for i in keys]
    over = _total([*names, max(least[i] for i in others)]) - width
    for place in sorted(range(len(names)), key=lambda i: -names[i]):
        cut = min(max(over, 0), max(names[place] - LEAST, 0))
        names[place] -= cut
        over -= cut
    part: list[int] = []
    for i in others:
        if part and _total([*names, *(least[j] for j in part), least[i]]) > width:
            yield [*keys, *part], [*names, *(least[j] for j in part)]
            part = []
        part.append(i)
    yield [*keys, *part], [*names, *(least[j] for j in part)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _widths(wanted: Sequence[int], floors: Sequence[int], width: int) -> list[int]:
    """Room beyond the floors goes to the columns that are nearly whole first."""
    widths = [min(pair) for pair in zip(wanted, floors, strict=True)]
    spare = max(width - _total(widths), 0)
    lacking = sorted(range(len(widths)), key=lambda i: (wanted[i] - widths[i], i))
    for done, i in enumerate(lacking):
        more = min(wanted[i] - widths[i], spare // (len(lacking) - done))
        widths[i] += more
        spare -= more
    return widths


def _pad(text: str, width: int, is_text: bool) -> str:
    blank = " " * (width - cells(text))
    return text + blank if is_text else blank + text
