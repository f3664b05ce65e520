"""Bodies of calls that lie in objects of their own, beside the log that names them: Amazon Bedrock's above 100 KB.

Bedrock writes `.../BedrockModelInvocationLogs/REGION/YYYY/MM/DD/HH/*.json.gz` and, in a folder `data` below it, the
bodies that a record names by `inputBodyS3Path` and `outputBodyS3Path`.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final

import msgspec

_LOGS: Final = "/BedrockModelInvocationLogs/"
_ROOT: Final = "AWSLogs"
_MOST_BYTES: Final = 64 << 20


def is_body(path: str) -> bool:
    """Whether the place of a file or object says that it is a body that is read with its call."""
    _, found, below = path.partition(_LOGS)
    return bool(found) and "data" in below.split("/")[:-1]


def beside(log: Path, address: str) -> bytes | None:
    """The object at an address, from the copy of its bucket that a log of this machine lies in; None if it is not."""
    root, found, below = address.partition(f"/{_ROOT}/")
    parts = log.absolute().parts
    if not root or not found or _ROOT not in parts or ".." in Path(below).parts:
        return None
    at = len(parts) - 1 - parts[::-1].index(_ROOT)
    try:
        return Path(*parts[: at + 1], below).read_bytes()
    except OSError:
        return None


def decoded(data: bytes) -> Any:
    """The JSON of a body, packed or not; None where it is none or larger than 64 MB."""
    try:
        if data.startswith(b"\x1f\x8b"):
            member = zlib.decompressobj(wbits=31)
            data = member.decompress(data, _MOST_BYTES)
            if not member.eof:
                return None
        return msgspec.json.decode(data) if len(data) < _MOST_BYTES else None
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
