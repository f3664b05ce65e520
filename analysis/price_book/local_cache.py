"""What this machine keeps between runs of the price book: its compiled rows, and where logged names are priced.

Compiling reads the whole catalogue, half a second in which nothing else happens. A copy is taken only if it was made
of the same data by the same code, and what cannot be read or written is made anew: it only ever saves time.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

_DIGEST: Final = 32
_SOURCES: Final = ("price_book", "pricing")  # the sub-packages of `analysis` that make rows and resolutions
MAX_NAMES: Final = 2000
COPIES: Final = 4  # of either kind


@cache
def code_mark(version: str, package: Path = Path(__file__).parents[1]) -> str:
    """16 hex digits of the book's version and of every module in `package` (the folder of `analysis`) that compiles
    the book or resolves a name, so that no copy outlives a change of this code."""
    digest = hashlib.sha256(version.encode())
    for name in _SOURCES:
        for module in sorted((package / name).glob("*.py")):
            digest.update(module.name.encode() + b"\0" + module.read_bytes())
    return digest.hexdigest()[:16]


def folder() -> Path:
    """HINDCAST_CACHE, else the folder of this program in XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("HINDCAST_CACHE")
    return (
        Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "hindcast"
    )


def load_rows(version: str) -> pa.Table | None:
    """The rows of `prices` for a new store, the day of the book in the schema's metadata; None if there is no copy."""
    data = _load(f"prices-{code_mark(version)}.arrow")
    return None if data is None else pa.ipc.open_file(pa.BufferReader(data)).read_all()


def keep_rows(version: str, rows: pa.Table) -> None:
    """Replace the copy of the rows of `prices`."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as out:
        out.write_table(rows)
    _keep(f"prices-{code_mark(version)}.arrow", sink.getvalue().to_pybytes())


def load_names(version: str) -> list[list[Any]]:
    """[provider, model, price provider, price model, rule, confidence] of every name that was resolved before."""
    data = _load(f"names-{code_mark(version)}.json")
    return [] if data is None else json.loads(data)


def keep_names(version: str, names: list[list[Any]]) -> None:
    """Replace the names of the copy by these, or by the first `MAX_NAMES` of them."""
    _keep(f"names-{code_mark(version)}.json", json.dumps(names[:MAX_NAMES]).encode())


def _load(name: str) -> bytes | None:
    """The bytes of a copy, if they are all there."""
    try:
        data = (folder() / name).read_bytes()
    except (OSError, RuntimeError):  # no such file, or no home
        return None
    body = data[_DIGEST:]
    return body if hashlib.sha256(body).digest() == data[:_DIGEST] else None


def _keep(name: str, data: bytes) -> None:
    """Write a copy, whole or not at all, and remove the oldest ones: another version is installed now and then."""
    with suppress(OSError, RuntimeError):
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = place / f".{name}.{os.getpid()}"
        fresh.write_bytes(hashlib.sha256(data).digest() + data)
        fresh.replace(place / name)
        kind = name.partition("-")[0]
        copies = sorted(place.glob(f"{kind}-*"), key=lambda copy: copy.stat().st_mtime_ns)
        for older in copies[:-COPIES]:
            older.unlink()
