"""A folder of this machine as a place: an object is a file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ingest.errors import StoreError
from ingest.places.place import Listed, no_create

_UNFINISHED = ".unfinished-"  # begins the names of files that are being written


class Folder:
    """Objects are files below a folder, readable by their owner only; those being written are not listed."""

    def __init__(self, address: str) -> None:
        self.root = Path(address).expanduser()
        self.address = str(self.root) + "/"

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        return Folder, (self.address,)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        found = []
        start = self.root / prefix.rpartition("/")[0]
        for folder, _, names in os.walk(start):
            for name in names:
                path = Path(folder) / name
                relative = path.relative_to(self.root).as_posix()
                if name.startswith(_UNFINISHED) or not relative.startswith(prefix):
                    continue
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    version = f"{stat.st_size}-{stat.st_mtime_ns}"
                    found.append(Listed(relative, stat.st_size, version, stat.st_mtime_ns // 1000))
        yield from sorted(found)

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        with self._path(name).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(max(end - start, 0))

    def size(self, name: str) -> int | None:
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        self._unfinished(path, data).replace(path)

    def create(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        part = self._unfinished(path, data)
        try:
            os.link(part, path)  # fails where there is a file of that name, and the file appears whole
        except FileExistsError:
            return False
        except OSError as error:
            raise no_create(self.address) from error
        finally:
            part.unlink(missing_ok=True)
        return True

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def file(self, name: str) -> Path | None:
        return self._path(name)

    def _path(self, name: str) -> Path:
        """The file of an object. Raises StoreError for a name that leads out of the folder: names stand in commits, and
        a lake may be somebody else's."""
        path = Path(name)
        if path.anchor or ".." in path.parts or "\0" in name:
            raise StoreError(f"{name!r} is no name of an object in this folder", where=self.address)
        return self.root / path

    def _unfinished(self, path: Path, data: bytes) -> Path:
        part = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error
        return part
