"""Requests while compressors rewrite them: lists of content numbers, and the new texts that rewriting makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.traffic.prompts import Contents, Int32, Int64, Prompts

Bools = NDArray[np.bool_]

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class Requests:
    """The requests that one compressor speaks of. `keep` and `put` change them in place.

    Content numbers below `len(contents)` are the store's; higher ones are texts made here, each once: equal requests
    stay equal after compression.
    """

    def __init__(self, prompts: Prompts) -> None:
        self.contents: Contents = prompts.contents
        self.offsets: Int64 = prompts.offsets
        self.ids: Int32 = prompts.ids
        self.made: list[str] = []  # texts of contents len(contents), len(contents) + 1, ...
        self.made_kind: list[int] = []
        self._numbers: dict[tuple[int, str], int] | None = None
        self.selected: Bools = np.ones(len(self), bool)  # the calls of the compressor at work

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self) -> Int64:
        """The request of each element of `ids`."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def kinds(self) -> NDArray[np.int8]:
        """The kind of each element of `ids`, an index into KINDS."""
        return self.kinds_of(self.ids)

    def kinds_of(self, ids: Int32) -> NDArray[np.int8]:
        """The kinds of content numbers."""
        if not self.made_kind:
            return self.contents.kind[ids]
        return np.concatenate([self.contents.kind, np.array(self.made_kind, np.int8)])[ids]

    def text(self, number: int) -> str | None:
        """The canonical JSON text of a content, None where the store does not hold it."""
        own = len(self.contents)
        return self.made[number - own] if number >= own else self.contents.texts.get(number)

    def message(self, number: int) -> Any:
        """The message object or tool list of a content; None where there is no text."""
        text = self.text(number)
        return None if text is None else _decode(text)

    def intern(self, message: Any, kind: int) -> int:
        """The number of the content that holds this message, new or known."""
        text = _encode(message).decode()
        if self._numbers is None:
            kinds = self.contents.kind
            self._numbers = {(int(kinds[number]), known): number for number, known in self.contents.texts.items()}
        number = self._numbers.get((kind, text))
        if number is None:
            number = len(self.contents) + len(self.made)
            self._numbers[kind, text] = number
            self.made.append(text)
            self.made_kind.append(kind)
        return number

    def keep(self, kept: Bools) -> None:
        """Drop the elements of the selected requests where `kept` is False."""
        kept = kept | ~np.repeat(self.selected, np.diff(self.offsets))
        if kept.all():
            return
        running = np.concatenate([[0], np.cumsum(kept)])
        self.ids = self.ids[kept]
        self.offsets = running[self.offsets].astype(np.int64)

    def put(self, places: Int64, numbers: Int32) -> None:
        """Set `ids[places] = numbers` (copying first: the loaded prompts stay as they are)."""
        if len(places):
            self.ids = self.ids.copy()
            self.ids[places] = numbers

    def map_contents(self, kinds: tuple[int, ...], change: Callable[[Any], Any]) -> None:
        """Replace each selected message of these kinds by `change(message)`: once per distinct text."""
        inside = np.repeat(self.selected, np.diff(self.offsets)) & np.isin(self.kinds(), kinds)
        used = np.unique(self.ids[inside])
        table = np.arange(int(used[-1]) + 1 if len(used) else 0, dtype=np.int32)
        changed = False
        kind_of = self.kinds_of(used)
        for number, kind in zip(used.tolist(), kind_of.tolist(), strict=True):
            message = self.message(number)
            if message is None:
                continue
            new = change(message)
            if new is not message and new != message:
                table[number] = self.intern(new, kind)
                changed = True
        if changed:
            places = np.flatnonzero(inside)
            self.put(places, table[self.ids[places]])
