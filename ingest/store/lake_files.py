"""The objects of a place as files that DuckDB reads by ranges, without an extension of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ingest.errors import InputError
from ingest.places.objects import ObjectStore, RangedFile

try:
    from fsspec import AbstractFileSystem
except ModuleNotFoundError as error:
    raise InputError(
        "reading a lake in an object store needs a package that is not installed",
        remedy="Install it with: pip install 'llm-hindcast[lake]'",
    ) from error

if TYPE_CHECKING:
    from ingest.places.place import Place

SCHEME: Final = "hindcast-lake"


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]  # untyped package
    """A file system of one place, for one connection."""

    protocol = SCHEME
    cachable = False

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._sizes: dict[str, int] = {}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name and size. Raises FileNotFoundError."""
        name = self._strip_protocol(path)
        size = self._sizes.get(name)
        if size is None:
            found = self._place.size(name)
            if found is None:
                raise FileNotFoundError(path)
            size = self._sizes[name] = found
        return {"name": name, "size": size, "type": "file"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        assert mode == "rb"
        assert isinstance(self._place, ObjectStore)
        return RangedFile(self._place, self._strip_protocol(path), self.info(path)["size"])

    def glob(self, path: str, **_: Any) -> list[str]:
        """The path itself: names of parts hold no pattern."""
        return [self._strip_protocol(path)]

    def modified(self, path: str) -> Any:  # noqa: ARG002
        """A time that never changes, as a part never does."""
        from datetime import UTC, datetime

        return datetime.fromtimestamp(0, UTC)
