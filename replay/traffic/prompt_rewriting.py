"""Requests while a stage rewrites them: lists of content numbers, the new texts that rewriting makes, their tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay import message_text
from replay.traffic.prompts import KINDS, Contents, Int32, Int64, Prompts

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


def changed_requests(before: tuple[Int64, Int32], after: tuple[Int64, Int32]) -> Bools:
    """Requests whose list of contents is not what it was; each side is (offsets, ids)."""
    old_offsets, old_ids = before
    new_offsets, new_ids = after
    if old_ids is new_ids:
        return np.zeros(len(old_offsets) - 1, bool)
    lengths = np.diff(old_offsets)
    same = lengths == np.diff(new_offsets)
    changed = ~same
    if same.all():
        differs = old_ids != new_ids
        starts = old_offsets
    else:
        kept, counts = np.flatnonzero(same), lengths[same]
        starts = np.concatenate([[0], np.cumsum(counts)])
        inside = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        differs = (
            old_ids[np.repeat(old_offsets[kept], counts) + inside]
            != (new_ids[np.repeat(new_offsets[kept], counts) + inside])
        )
    running = np.concatenate([[0], np.cumsum(differs)])
    changed[same] = running[starts[1:]] > running[starts[:-1]]
    return np.asarray(changed)


def finish(
    before: Prompts, requests: Requests, encoding: NDArray[np.int8], encodings: Sequence[str]
) -> tuple[Prompts, int]:
    """The rewritten prompts, with token counts, words and blocks of the made texts that are still in use; how many
    these are. `encoding` tells which of `encodings` counts each request."""
    old = before.contents
    if not requests.made:
        if requests.ids is before.ids and requests.offsets is before.offsets:
            return before, 0
        return Prompts(requests.offsets, requests.ids, old), 0
    own = len(old)
    places = np.flatnonzero(requests.ids >= own)
    used = np.unique(requests.ids[places])
    ids = requests.ids.copy()
    ids[places] = (own + np.searchsorted(used, requests.ids[places])).astype(np.int32)
    from ingest.contents import tokenizer

    tools = KINDS.index("tools")
    texts = [requests.made[number - own] for number in used.tolist()]
    row_encoding = encoding[requests.rows()[places]]
    counted: dict[str, Int32] = {}
    blocks: list[list[int]] = [[] for _ in texts]
    for code, name in enumerate(encodings):
        wanted = np.unique(np.searchsorted(used, requests.ids[places[row_encoding == code]]))
        column = np.full(len(texts), -1, np.int32)
        kinds = ["tools" if requests.made_kind[int(used[i]) - own] == tools else "message" for i in wanted]
        measured = tokenizer.measure([(texts[i], kind) for i, kind in zip(wanted, kinds, strict=True)], name)
        for position, (tokens, hashes) in zip(wanted.tolist(), measured, strict=True):
            column[position] = tokens
            blocks[position] = blocks[position] or hashes
        counted[name] = column
    missing = np.full(len(texts), -1, np.int32)
    sizes = np.array([len(hashes) for hashes in blocks], np.int64)
    flat = np.array([value for hashes in blocks for value in hashes], np.int64)
    contents = Contents(
        content_id=np.concatenate([old.content_id, np.full(len(texts), -1, np.int32)]),
        kind=np.concatenate([old.kind, np.array([requests.made_kind[n - own] for n in used.tolist()], np.int8)]),
        words=np.concatenate([old.words, np.array([_words(text) for text in texts], np.int32)]),
        tokens={name: np.concatenate([column, counted.get(name, missing)]) for name, column in old.tokens.items()},
        block_offsets=np.concatenate([old.block_offsets, old.block_offsets[-1] + np.cumsum(sizes)]),
        block_hashes=np.concatenate([old.block_hashes, flat]),
        texts={**old.texts, **{own + i: text for i, text in enumerate(texts)}},
    )
    return Prompts(requests.offsets, ids, contents), len(texts)


def _words(text: str) -> int:
    return sum(len(part.split()) for part in message_text.texts(msgspec.json.decode(text)))


def sums(prompts: Prompts, values: NDArray[Any]) -> tuple[Int64, Int64]:
    """(sum of the known values, number of unknown ones) per request, for values per content with -1 unknown."""
    each = values[prompts.ids].astype(np.int64)
    total = np.concatenate([[0], np.cumsum(np.maximum(each, 0))])
    unknown = np.concatenate([[0], np.cumsum(each < 0)])
    start, end = prompts.offsets[:-1], prompts.offsets[1:]
    return total[end] - total[start], unknown[end] - unknown[start]
