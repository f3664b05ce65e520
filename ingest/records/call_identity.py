"""The 16-byte key of a call: from the id that its log gives, else from the bytes of its line."""

from __future__ import annotations

import hashlib
import hmac


def key_of_id(identity: str) -> bytes:
    """16 bytes that identify a call by the id that its log gives."""
    return hashlib.sha256(b"id:" + identity.encode("utf-8", "surrogatepass")).digest()[:16]


def key_of_line(raw: bytes, index: int, hash_key: bytes | None) -> bytes:
    """16 bytes that identify a call without an id: the bytes of its line, and its place among the calls of that line.

    With `hash_key` the digest is keyed (HMAC-SHA256), so that the key tells nothing about a text.
    """
    material = raw.rstrip(b"\r\n") + (b"#%d" % index if index else b"")
    if hash_key is not None:
        return hmac.digest(hash_key, material, "sha256")[:16]
    return hashlib.sha256(material).digest()[:16]
