"""A place: a prefix of objects in a folder or in an object store, by its address."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from ingest.errors import StoreError

SCHEMES = ("s3", "gs", "az")
_PROBE = "hindcast-probe"


class Listed(NamedTuple):
    """An object as a listing tells it."""

    name: str  # below the place, with slashes
    size: int  # bytes
    version: str  # changes with every write: the ETag; of a file its size and time
    modified_us: int  # microseconds since 1970, UTC


class Place(Protocol):
    """What logs are read from and a lake is kept in. Names of objects are relative and have slashes."""

    address: str

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """The objects whose names begin with `prefix`, in order of name."""
        ...

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of an object from `start` up to `end`. Raises FileNotFoundError."""
        ...

    def size(self, name: str) -> int | None:
        """The bytes of an object; None where there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put an object whole: whoever reads sees all of it or what was there before."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Put an object whole where there is none; False, and nothing is changed, where there is one.

        Of several that create the same name at once exactly one is told True. Raises StoreError where the place
        cannot do that.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove an object; nothing where there is none."""
        ...

    def file(self, name: str) -> Path | None:
        """The object as a file of this machine; None where it is none."""
        ...


def is_url(address: str) -> bool:
    """Whether an address is that of an object store."""
    scheme, found, _ = address.partition("://")
    return bool(found) and scheme in SCHEMES


def require_create(place: Place) -> None:
    """Raise StoreError where the place lets two writers create the same object.

    It is tried out, since no documentation tells of every gateway: a second creation of one name must fail.
    """
    name = f"{_PROBE}/{secrets.token_hex(16)}"
    try:
        held = place.create(name, b"1") and not place.create(name, b"2") and place.read(name) == b"1"
    finally:
        place.remove(name)
    if not held:
        raise no_create(place.address)


def no_create(address: str) -> StoreError:
    """For a place that cannot create an object only where there is none."""
    return StoreError(
        "this place overwrites an object that is to be created once, so two ingests could undo each other",
        where=address,
        remedy="Keep the store where conditional writes are supported: S3, R2, GCS, Azure, or a folder of one machine.",
    )
