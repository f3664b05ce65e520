"""The steps that a ramp has taken, one JSON line each, beside the strategy file: why it stands where it stands.

The share in force is the one of the strategy file; the journal says since when, on what evidence, and of which days.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ingest.errors import InputError, StoreBusyError
from ingest.store import file_lock

Action = Literal["begin", "advance", "roll back", "set by hand", "begin again"]
PATIENCE_S: Final = 30.0


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One change of the share, or of what is tested.

    `at_ms` is the end of the log at that time (milliseconds since 1970), which no clock of a reader changes. Evidence
    is of the units that began from day `begins` to day `judged`.
    """

    at_ms: int
    action: Action
    before: float
    share: float
    why: str
    begins: date
    judged: date | None
    units: int  # that began treated since the step before
    policy: str  # digest of the strategy without its share
    evidence: list[dict[str, Any]]


def path_of(strategy: Path) -> Path:
    """The journal of a strategy file."""
    return strategy.with_suffix(".rollout")


def read(strategy: Path) -> list[Step]:
    """The steps so far, oldest first. Raises InputError for a journal that is none."""
    path = path_of(strategy)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    try:
        return [msgspec.json.decode(line, type=Step) for line in lines]
    except msgspec.MsgspecError as error:
        raise InputError(
            f"not a journal of a ramp: {error}", where=str(path), remedy="Move it away: the ramp then begins anew."
        ) from error


def write(strategy: Path, steps: Sequence[Step]) -> None:
    """Replace the journal. Raises InputError where the folder cannot be written."""
    replace_file(path_of(strategy), b"".join(msgspec.json.encode(step) + b"\n" for step in steps))


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in another's place at once, so that a reader sees the old one or the new one; its mode stays."""
    target = path.resolve()
    name = None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=target.parent, prefix=f".{target.name}.", delete=False) as made:
            name = made.name
            made.write(content)
            made.flush()
            os.fsync(made.fileno())
        with suppress(FileNotFoundError):
            Path(name).chmod(stat.S_IMODE(target.stat().st_mode))
        Path(name).replace(target)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", where=str(target)) from error


@contextmanager
def locked(strategy: Path) -> Iterator[None]:
    """One process at a time decides about a strategy file. Raises StoreBusyError, InputError."""
    try:
        handle = file_lock.open_private(path_of(strategy).with_suffix(".rollout.lock"))
    except OSError as error:
        raise InputError(f"cannot write beside the strategy: {error.strerror}", where=str(strategy)) from error
    with handle:
        if not file_lock.acquire(handle, exclusive=True, patience_s=PATIENCE_S):
            raise StoreBusyError(f"process {file_lock.holder(handle) or '?'} decides about {strategy}")
        yield
