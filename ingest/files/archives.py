"""Zip archives of inspect_ai's evaluations (`.eval`): one document per sample, beside what the evaluation was."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from ingest.errors import InputError
from ingest.files.byte_stream import open_file
from ingest.files.line_files import Row, decode
from ingest.records.call import BadRecordError

_MEMBER_LIMIT = 512 << 20  # bytes of one document
_SAMPLE = re.compile(r"samples/.+[.]json")
_HEADERS = ("header.json", "_journal/start.json")  # of an evaluation that ended, and of one that did not
_ZSTD = 93  # a way of compressing that zipfile of Python 3.11 does not know
_LOCAL = struct.Struct("<26xHH")  # lengths of name and extra field, at the end of a member's own header


def evaluation_rows(path: Path) -> Iterator[Row]:
    """A record `{"eval": ..., "samples": [sample]}` for each sample. Raises InputError for any other archive."""
    with open_file(path) as handle:
        try:
            archive = zipfile.ZipFile(handle)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise InputError(f"not a readable zip archive: {str(error)[:120]}", where=str(path)) from None
        with archive:
            names = [name for name in archive.namelist() if _SAMPLE.fullmatch(name)]
            if not names:
                raise InputError("a zip archive without samples of an evaluation", where=str(path))
            about = _about(archive, handle)
            for number, name in enumerate(sorted(names), 1):
                try:
                    sample = decode(_member(archive, handle, name))
                except (BadRecordError, msgspec.DecodeError, zipfile.BadZipFile, zstandard.ZstdError, OSError) as error:
                    yield Row(number, 0, None, None, BadRecordError(f"{name} cannot be read: {error}"[:200]))
                    continue
                yield Row(number, 0, None, {"eval": about, "samples": [sample]}, None)


def _about(archive: zipfile.ZipFile, handle: Any) -> dict[str, Any]:
    for name in _HEADERS:
        if name in archive.namelist():
            try:
                found = decode(_member(archive, handle, name))
            except (BadRecordError, msgspec.DecodeError, zipfile.BadZipFile, zstandard.ZstdError, OSError):
                continue
            if isinstance(found, dict) and isinstance(found.get("eval"), dict):
                return dict(found["eval"])
    return {}


def _member(archive: zipfile.ZipFile, handle: Any, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != _ZSTD:
        with archive.open(info) as member:
            data = member.read(_MEMBER_LIMIT + 1)
    else:
        handle.seek(info.header_offset)
        lengths = _LOCAL.unpack(handle.read(_LOCAL.size))
        handle.seek(info.header_offset + _LOCAL.size + sum(lengths))
        packed = handle.read(min(info.compress_size, _MEMBER_LIMIT))
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as member:
            data = member.read(_MEMBER_LIMIT + 1)
    if len(data) > _MEMBER_LIMIT:
        raise BadRecordError(f"more than {_MEMBER_LIMIT >> 20} MB")
    return bytes(data)
