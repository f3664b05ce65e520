"""A store by its address: a DuckDB file, or a lake in a folder or an object store."""

from __future__ import annotations

from pathlib import Path

from ingest.places.place import SCHEMES, is_url
from ingest.store.database import DEFAULT_PATH, Store


def is_lake(address: str | Path) -> bool:
    """Whether an address is that of a lake: a URL, a path that ends with a slash, a folder that holds commits."""
    text = as_text(address)
    return is_url(text) or text.endswith("/") or (Path(text) / "commits").is_dir()


def open_store(address: str | Path = DEFAULT_PATH) -> Store:
    """The store at an address, which need not exist yet. Raises InputError, StoreError for what can be no address."""
    if not is_lake(address):
        return Store(address)
    from ingest.store.lake import LakeStore

    return LakeStore(as_text(address))


def as_text(address: str | Path) -> str:
    """The address as it was typed: a URL that went through a Path has lost one of its slashes."""
    text = str(address)
    scheme, found, rest = text.partition(":/")
    return f"{scheme}://{rest}" if found and scheme in SCHEMES and not rest.startswith("/") else text
