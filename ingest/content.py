"""Message texts, stored once each: canonical JSON, its hash, and what can be counted in it.

A message is hashed as logged first, and everything dearer (sorting keys, counting words, masking) is done only for
one that this segment has not met.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ingest.calls import BadRecordError

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_UUID = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(rb"\d[\w:.,+/-]*")
_SHA256 = re.compile(r"^[0-9a-fA-F]{64}$")
_IMAGE_TYPES = frozenset({"image", "image_url", "input_image"})
MESSAGE, OUTPUT, TOOLS = "message", "output", "tools"


class Content(NamedTuple):
    """One distinct content of a segment. The digests are 16 bytes each."""

    number: int
    key: bytes  # of the canonical text in NFC
    masked: bytes  # of the canonical text with numbers, dates and ids masked
    raw: bytes  # of the text in the order in which it was logged
    words: int
    images: bool
    hashed: bool  # the log gave a hash in place of the text


class Contents:
    """The distinct contents of one segment, in order of first appearance, as columns."""

    def __init__(self, *, hash_key: bytes | None = None, redact: Callable[[bytes], bytes] | None = None) -> None:
        self._seen: dict[bytes, Content] = {}  # by the bytes as logged
        self._by_hash: dict[bytes, int] = {}
        self._hash_key = hash_key
        self._redact = redact
        self.hashes: list[bytes] = []
        self.kinds: list[str] = []
        self.roles: list[str | None] = []
        self.texts: list[str | None] = []
        self.chars: list[int | None] = []
        self.words: list[int | None] = []
        # token counts that the log gives for contents without text: (number, encoding, tokens)
        self.given_tokens: list[tuple[int, str, int]] = []

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, value: Any, kind: str, path: str = "$.messages") -> Content:
        """The content of one message object, or of a list of tools. Raises BadRecordError for what is neither."""
        try:
            raw = _encode(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadRecordError(f"a message that cannot be written as JSON: {error}", path) from None
        found = self._seen.get(raw)
        if found is None:
            found = self._seen[raw] = self._new(value, raw, kind, path)
        return found

    def _digest(self, data: bytes) -> bytes:
        if self._hash_key is not None:
            return hmac.digest(self._hash_key, data, "sha256")[:16]
        return hashlib.sha256(data).digest()[:16]

    def _new(self, value: Any, raw: bytes, kind: str, path: str) -> Content:
        if kind != TOOLS and not isinstance(value, dict):
            raise BadRecordError("a message is not an object", path)
        if kind != TOOLS and "sha256" in value and "content" not in value:
            return self._hashed(value, kind, path)
        if kind == TOOLS:
            role, text, images = None, "", False
            canonical = _encode_sorted(value)
            chars, words = len(canonical), None
        else:
            role = value.get("role")
            role = role if isinstance(role, str) else None
            if None in value.values():
                canonical = _encode_sorted({name: item for name, item in value.items() if item is not None})
            else:
                canonical = _encode_sorted(value)
            text = value.get("content")
            if isinstance(text, str):
                images, chars, words = False, len(text), len(text.split())
            else:
                parts: list[str] = []
                images = _collect_text(value, parts, 0)
                chars = sum(map(len, parts))
                words = sum([len(part.split()) for part in parts])
        if self._redact is not None:
            canonical = self._redact(canonical)
            raw = self._redact(raw)
        digest = self._digest(raw)
        content_hash = self._digest(canonical)
        text = canonical.decode()
        key = content_hash if canonical.isascii() else self._digest(unicodedata.normalize("NFC", text).encode())
        masked = key
        if _NUMBER.search(canonical) is not None:
            masked_text = _UUID.sub(b"#", canonical) if canonical.count(b"-") >= 4 else canonical
            masked = self._digest(_NUMBER.sub(b"#", masked_text))
        number = self._number(content_hash, kind, role, text, chars, words)
        return Content(number, key, masked, digest, words or 0, images, False)

    def _hashed(self, value: dict[str, Any], kind: str, path: str) -> Content:
        """A message that the log gives by its sha256, with or without its sizes."""
        sha = value["sha256"]
        if not isinstance(sha, str) or not _SHA256.match(sha):
            raise BadRecordError("a message's sha256 is not 64 hexadecimal digits", f"{path}.sha256")
        content_hash = bytes.fromhex(sha)[:16]
        if self._hash_key is not None:
            content_hash = self._digest(content_hash)
        words = value.get("words") if type(value.get("words")) is int else None
        chars = value.get("chars") if type(value.get("chars")) is int else None
        role = value.get("role") if isinstance(value.get("role"), str) else None
        before = len(self.hashes)
        number = self._number(content_hash, kind, role, None, chars, words)
        counted = value.get("tokens")
        if number == before and type(counted) is int and counted >= 0:
            self.given_tokens.append((number, str(value.get("encoding") or "o200k_base"), counted))
        return Content(number, content_hash, content_hash, content_hash, words or 0, False, True)

    def _number(
        self, content_hash: bytes, kind: str, role: str | None, text: str | None, chars: int | None, words: int | None
    ) -> int:
        known = self._by_hash.get(content_hash)
        if known is not None:
            if text is not None and self.texts[known] is None:  # first seen as a bare hash
                self.texts[known], self.chars[known], self.words[known] = text, chars, words
            return known
        number = len(self.hashes)
        self._by_hash[content_hash] = number
        self.hashes.append(content_hash)
        self.kinds.append(kind)
        self.roles.append(role)
        self.texts.append(text)
        self.chars.append(chars)
        self.words.append(words)
        return number


def _collect_text(value: Any, parts: list[str], depth: int) -> bool:
    """Append the text parts of a message to `parts`; True if it carries an image."""
    content = value.get("content")
    if isinstance(content, str):
        parts.append(content)
        return False
    images = False
    for items in (content, value.get("parts")):
        if not isinstance(items, list):
            continue
        for item in items:
            if isinstance(item, str):
                parts.append(item)
            elif isinstance(item, dict):
                text = item.get("text")
                if isinstance(text, str):
                    parts.append(text)
                elif "content" in item and depth < 4:
                    images = _collect_text(item, parts, depth + 1) or images
                if item.get("type") in _IMAGE_TYPES or "inline_data" in item or "inlineData" in item:
                    images = True
    return images
