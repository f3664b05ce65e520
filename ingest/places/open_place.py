"""The place at an address: a folder of this machine, or a prefix in an object store."""

from __future__ import annotations

from ingest.errors import InputError
from ingest.places.folder import Folder
from ingest.places.place import SCHEMES, Place, is_url


def open_place(address: str) -> Place:
    """The place at an address: a folder, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.

    Credentials are taken from the environment, as the SDKs of the stores do. Raises InputError for another scheme, or
    where the package that reads object stores is not installed.
    """
    if is_url(address):
        from ingest.places.objects import ObjectStore

        return ObjectStore(address)
    if "://" in address:
        raise InputError(
            f"'{address}' names no place that can be read", remedy=f"Known: a folder, {', '.join(SCHEMES)}://BUCKET/..."
        )
    return Folder(address)
