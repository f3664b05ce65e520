"""An object store as a place: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ingest.errors import InputError, StoreError
from ingest.places.place import Listed, no_create

_T = TypeVar("_T")


class ObjectStore:
    """Objects below a prefix of a bucket. Plain data: a process that gets one opens it again by its address."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") + "/"
        scheme, _, rest = self.address.partition("://")
        self._scheme = scheme
        self._bucket, _, prefix = rest.partition("/")
        self._prefix = prefix
        if not self._bucket:
            raise InputError(f"'{address}' names no bucket", remedy=f"Write it as {scheme}://BUCKET/PREFIX/")

    def __reduce__(self) -> tuple[type[ObjectStore], tuple[str]]:
        return ObjectStore, (self.address,)

    @cached_property
    def _api(self) -> Any:
        try:
            import obstore
            import obstore.store
        except ModuleNotFoundError as error:
            raise InputError(
                f"reading {self._scheme}:// needs a package that is not installed",
                remedy="Install it with: pip install 'llm-hindcast[lake]'",
            ) from error
        return obstore

    @cached_property
    def _store(self) -> Any:
        S3Store, GCSStore, AzureStore = (getattr(self._api.store, f"{name}Store") for name in ("S3", "GCS", "Azure"))
        if self._scheme == "gs":
            return GCSStore(self._bucket)
        if self._scheme == "az":
            return AzureStore(self._bucket)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        options: Any = {"client_options": {"allow_http": True}} if endpoint and endpoint.startswith("http:") else {}
        if endpoint:
            options["endpoint"] = endpoint
        return S3Store(self._bucket, region=os.environ.get("AWS_REGION") or _region(), **options)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        def listed() -> list[Listed]:
            return sorted(
                Listed(
                    one["path"][len(self._prefix) :],
                    one["size"],
                    one.get("e_tag") or str(one["last_modified"]),
                    int(one["last_modified"].timestamp() * 1_000_000),
                )
                for part in self._api.list(self._store, prefix=self._folder(prefix))
                for one in part
                if one["path"].startswith(self._prefix + prefix)
            )

        yield from self._asked(listed)

    def _folder(self, prefix: str) -> str | None:
        """Listings of this library are by whole folder names."""
        return (self._prefix + prefix).rpartition("/")[0] or None

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        path = self._prefix + name
        if end is not None:
            return self._asked(lambda: bytes(self._api.get_range(self._store, path, start=start, end=end)), name)
        if start:
            return self._asked(
                lambda: bytes(self._api.get(self._store, path, options={"range": {"offset": start}}).bytes()), name
            )
        return self._asked(lambda: bytes(self._api.get(self._store, path).bytes()), name)

    def size(self, name: str) -> int | None:
        try:
            return self._asked(lambda: int(self._api.head(self._store, self._prefix + name)["size"]), name)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._asked(lambda: self._api.put(self._store, self._prefix + name, data), name)

    def create(self, name: str, data: bytes) -> bool:
        wrong = self._api.exceptions

        def put() -> bool:
            try:
                # in one request: of a write in parts the condition would be looked at only at its end
                self._api.put(self._store, self._prefix + name, data, mode="create", use_multipart=False)
            except wrong.AlreadyExistsError:
                return False
            except (wrong.NotSupportedError, NotImplementedError) as error:
                raise no_create(self.address) from error
            return True

        return self._asked(put, name)

    def remove(self, name: str) -> None:
        try:
            self._asked(lambda: self._api.delete(self._store, self._prefix + name), name)
        except FileNotFoundError:
            return

    def file(self, name: str) -> Path | None:  # noqa: ARG002
        return None

    def _asked(self, ask: Callable[[], _T], name: str = "") -> _T:
        """What the store answers. Raises StoreError with its first line where it refuses or cannot be reached."""
        try:
            return ask()
        except FileNotFoundError:
            raise
        except (self._api.exceptions.BaseError, OSError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise StoreError(
                f"the object store says: {first[:300]}",
                where=self.address + name,
                remedy="Check the address, the credentials in the environment, and AWS_ENDPOINT_URL if it has its own.",
            ) from error


def _region() -> str:
    return os.environ.get("AWS_DEFAULT_REGION", "us-east-1")


class RangedFile(io.RawIOBase):
    """An object as a seekable file: every read is one ranged request."""

    def __init__(self, place: ObjectStore, name: str, size: int) -> None:
        super().__init__()
        self._place, self._name, self._size, self._at = place, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, at: int, whence: int = 0) -> int:
        self._at = at + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes from where the file stands; all that are left for -1."""
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        data = self._place.read(self._name, self._at, end)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; how many bytes it got."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
