"""Lines of a log: numbers, offsets and bytes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.errors import InputError
from ingest.files import byte_stream, line_files
from ingest.files.byte_stream import StreamCutError
from ingest.files.line_files import file_kind


@pytest.fixture
def monkeypatch_limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda limit: monkeypatch.setattr(line_files, "LINE_LIMIT", limit)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@given(
    st.lists(st.sampled_from([b"{}", b"\n", b" ", b"[1]\n", b"\n\n", b"\xef\xbb\xbf"]), max_size=12), st.integers(1, 9)
)
def test_lines_are_the_same_ones_whatever_is_copied_at_a_time(pieces: list[bytes], block: int) -> None:
    data = b"".join(pieces)
    expected = []
    offset = 5
    for number, line in enumerate(data.split(b"\n"), 1):
        content = line.removeprefix(line_files.BOM) if number == 1 else line
        if content.strip():
            expected.append((number, offset, content))
        offset += len(line) + 1
    assert [row[:3] for row in line_files.unread_rows(data, 5, 0, block=block)] == expected


def write(path: Path, data: bytes, packing: str) -> Path:
    path.write_bytes(gzip.compress(data) if packing == "gz" else zstandard.compress(data) if packing else data)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b"{}\n", b"\n", b"x" * 40, b"y" * 9]), max_size=30), st.integers(1, 50),
       st.integers(1, 30), st.integers(0, 30), st.sampled_from(["", "gz", "zst"]))  # fmt: skip
def test_chunks_are_the_file_but_for_the_rest_of_lines_above_the_limit(
    monkeypatch_limit: Any, folder: Path, pieces: list[bytes], size: int, limit: int, first: int, packing: str
) -> None:
    monkeypatch_limit(limit)
    data = b"".join(pieces)
    path = write(folder / "log", data, packing)
    starts = [0, *(place + 1 for place, byte in enumerate(data) if byte == 10)]
    start = starts[min(first, len(starts) - 1)]
    place = start
    lines: list[bytes] = []
    for chunk in line_files.line_chunks(path, size, start):
        assert chunk.offset == place
        place = chunk.end
        assert len(chunk.data) == place - chunk.offset or len(chunk.data.rstrip(b"\n").rpartition(b"\n")[2]) > limit
        lines += chunk.data.split(b"\n")[: None if not chunk.data.endswith(b"\n") else -1]
    assert place == len(data)
    expected = data[start:].split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    for mine, whole in zip(lines, expected, strict=True):
        assert mine == whole or (len(mine) > limit and whole.startswith(mine))


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"])
@pytest.mark.parametrize("packing", ["", "gz", "zst"])
def test_a_log_in_any_encoding_of_unicode_is_read(codec: str, packing: str, tmp_path: Path) -> None:
    text = "".join(f'{{"number": {number}, "text": "\u00e9\U0001f600"}}\r\n' for number in range(2_000))
    path = write(tmp_path / "log.jsonl", text.encode(codec), packing)
    assert file_kind(path).shape == "jsonl"
    rows = list(line_files.file_rows(path))
    assert [row.record for row in rows] == [{"number": n, "text": "\u00e9\U0001f600"} for n in range(2_000)]
    assert [row.number for row in rows] == list(range(1, 2_001))


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("byte", [b"\n", b" ", b"\x00", b"x"])
def test_a_stream_that_inflates_without_bounds_is_told(
    byte: bytes, packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_stream, "BOMB_BYTES", 16 << 20)
    path = tmp_path / f"log.jsonl.{packing}"
    piece = byte * (1 << 20)
    state: Any = zlib.compressobj(wbits=31) if packing == "gz" else zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        file.write(state.compress(b'{"a": 1}\n'))
        for _ in range(100):
            file.write(state.compress(piece))
        file.write(state.flush())
    with pytest.raises(StreamCutError, match="500-fold"):
        for block in byte_stream.blocks(path):
            assert len(block) < 34 << 20
    with pytest.raises(StreamCutError, match="500-fold"):
        for row in line_files.file_rows(path):
            assert row.error is not None or row.record == {"a": 1}


def test_a_zstd_window_above_what_the_tool_itself_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.zst"
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=28)
    state = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path.write_bytes(state.compress(b"x" * 100) + state.flush())
    with pytest.raises(InputError, match="nothing can be read"):
        file_kind(path)
