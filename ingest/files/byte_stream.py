"""The bytes of a file, plain, .gz or .zst, in UTF-8: inflated and transcoded in bounded pieces.

What a file is is told from its first bytes, never from its name.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import zstandard

from ingest.errors import InputError, nearest_file

Packing = Literal["", "gz", "zst"]
BLOCK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED = 1 << 17  # of gzip at a time, whose output is bounded by itself
_PACKED_ZSTD = 1 << 10  # 4 bytes of zstd may stand for a block of 128 KiB: at most 32 MB at a time
_WINDOW = 1 << 27  # what `zstd -d` takes without --long
# beyond both a stream is no log: real ones shrink 5 to 50 times, the most repetitive ones some hundred times
BOMB_BYTES, BOMB_RATIO = 256 << 20, 500
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


class StreamCutError(Exception):
    """A stream that ends early, is damaged or goes beyond all bounds; what came before it has been yielded."""


def open_file(path: Path) -> Any:
    """The file's raw bytes. Raises InputError naming what is wrong and what to do."""
    try:
        if path.is_dir():
            raise InputError("is a folder", where=str(path))
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(
            "there is no such file", where=str(path), remedy=nearest_file(Path(path)) or "Check the path."
        ) from None
    except PermissionError:
        raise InputError("cannot be read: permission denied", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def packing(head: bytes) -> Packing:
    """How a file that begins with these bytes is compressed."""
    if head.startswith(_GZIP):
        return "gz"
    return "zst" if head.startswith(_ZSTD) else ""


def wide_encoding(head: bytes) -> str | None:
    """The codec of a text in UTF-16 or UTF-32, told by its byte-order mark or by where ASCII has zeros; else None."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    for width, name in ((4, "utf-32"), (2, "utf-16")):
        lead = head[: 4 * width]
        if len(lead) == 4 * width:
            for order, low in (("le", 0), ("be", width - 1)):
                zeros = b"".join(lead[place::width] for place in range(width) if place != low)
                if not any(zeros) and all(9 <= byte < 127 for byte in lead[low::width]):
                    return f"{name}-{order}"
    return None


def is_plain(head: bytes) -> bool:
    """Whether the file's own bytes are its text, so that a range of them can be read by itself."""
    return packing(head) == "" and wide_encoding(head) is None


def blocks(path: Path, size: int = BLOCK) -> Iterator[bytes]:
    """The file's text in UTF-8, in pieces of about `size` bytes and never above some 32 MB.

    Raises StreamCutError after the last whole piece of a damaged or endless stream.
    """
    with open_file(path) as handle:
        kind = packing(handle.read(4))
        handle.seek(0)
        if kind:
            source = _bounded(_gathered(_gunzip(handle) if kind == "gz" else _unzstd(handle), size), handle)
        else:
            source = iter(lambda: handle.read(size), b"")
        yield from _in_utf8(source)


def _gunzip(handle: Any) -> Iterator[bytes]:
    state = None
    while packed := handle.read(_PACKED):
        while packed:
            if state is None:
                packed = packed.lstrip(b"\x00")  # padding between members
                if not packed:
                    break
                state = zlib.decompressobj(wbits=31)
            yield _step(handle, state.decompress, packed, BLOCK)
            packed = state.unconsumed_tail
            if state.eof:
                packed, state = state.unused_data, None
    if state is not None:
        while block := _step(handle, state.decompress, b"", BLOCK):
            yield block
        if not state.eof:
            raise StreamCutError(f"the compressed stream ends early, at byte {handle.tell()}")


def _unzstd(handle: Any) -> Iterator[bytes]:
    new = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj
    state = None
    while packed := handle.read(_PACKED_ZSTD):
        while packed:
            state = state or new()
            yield _step(handle, state.decompress, packed)
            packed = b""
            if state.eof:
                packed, state = state.unused_data.lstrip(b"\x00"), None
    if state is not None:
        raise StreamCutError(f"the compressed stream ends early, at byte {handle.tell()}")


def _step(handle: Any, inflate: Any, *arguments: Any) -> bytes:
    try:
        found: bytes = inflate(*arguments)
    except (zlib.error, zstandard.ZstdError, MemoryError) as error:
        raise StreamCutError(f"the compressed stream is damaged near byte {handle.tell()}: {error}") from None
    return found


def _gathered(source: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Pieces of at least `size` bytes, but for the last."""
    held: list[bytes] = []
    length = 0
    try:
        for block in source:
            held.append(block)
            length += len(block)
            if length >= size:
                yield b"".join(held)
                held, length = [], 0
    except StreamCutError:
        if length:
            yield b"".join(held)
        raise
    if length:
        yield b"".join(held)


def _bounded(source: Iterator[bytes], handle: Any) -> Iterator[bytes]:
    length = 0
    for block in source:
        yield block
        length += len(block)
        if length > BOMB_BYTES and length > BOMB_RATIO * handle.tell():
            raise StreamCutError(
                f"the compressed stream inflates more than {BOMB_RATIO}-fold: read up to {length >> 20} MB"
            )


def _in_utf8(source: Iterator[bytes]) -> Iterator[bytes]:
    first = next(source, b"")
    codec = wide_encoding(first)
    if codec is None:
        if first:
            yield first
        yield from source
        return
    decoder = codecs.getincrementaldecoder(codec)("replace")
    yield decoder.decode(first).encode()
    for block in source:
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", True).encode()
