"""Message texts, stored once each: canonical JSON, its hash, and what can be counted in it.

A message is known by its bytes first, as the log has them or as they are written again; everything dearer (sorting
keys, hashing, counting words, masking) is done only for one whose bytes this process has not met lately.
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
from ingest.words import count_words

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_UUID = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(rb"\d[\w:.,+/-]*")
_DIGITS = b"0123456789"
_SHA256 = re.compile(r"^[0-9a-fA-F]{64}$")
_IMAGE_TYPES = frozenset({"image", "image_url", "input_image"})
MESSAGE, OUTPUT, TOOLS = "message", "output", "tools"
MEMORY_BYTES = 12 << 20  # of contents that a process remembers, and of those that it remembered before them


class Measured(NamedTuple):
    """What follows from the bytes of a content alone. The digests are 16 bytes each, keyed where texts are dropped."""

    hash: bytes  # of the canonical text: sorted keys, compact, without nulls
    key: bytes  # of the canonical text in NFC
    masked: bytes  # of the canonical text with numbers, dates and ids masked
    raw: bytes  # of the text in the order in which it was logged
    text: bytes | None  # canonical; None where the log gave a hash in place of the text
    role: str | None
    chars: int | None
    words: int | None
    images: bool
    tokens: tuple[str, int] | None  # (encoding, count), where the log gives it with a hash


class Content(NamedTuple):
    """One distinct content of a segment."""

    number: int
    key: bytes
    masked: bytes
    raw: bytes
    words: int
    images: bool
    hashed: bool  # the log gave a hash in place of the text


class Measures:
    """Measures contents, and remembers them by their bytes up to a limit."""

    def __init__(self, *, hash_key: bytes | None = None, redact: Callable[[bytes], bytes] | None = None) -> None:
        self._hash_key = hash_key
        self._redact = redact
        self._known: dict[bytes, Measured] = {}
        self._older: dict[bytes, Measured] = {}
        self._held = 0

    def of_value(self, value: Any, raw: bytes, tools: bool, path: str) -> Measured:
        """The measures of a message object, or of a list of tools; `raw` is its JSON.

        Raises BadRecordError for what is neither.
        """
        known = self._known.get(raw) or self._older.get(raw)
        return known if known is not None else self._keep(raw, self._measure(value, raw, tools, path))

    def of_logged(self, logged: bytes, tools: bool, path: str) -> Measured:
        """The measures of a message as the log has it. Raises what its decoding raises, and as `of_value`."""
        known = self._known.get(logged) or self._older.get(logged)
        if known is not None:
            return known
        value = _decode(logged)
        return self._keep(logged, self._measure(value, _encode(value), tools, path))

    def _keep(self, raw: bytes, measured: Measured) -> Measured:
        self._held += len(raw) + len(measured.text or b"")
        if self._held > MEMORY_BYTES:
            self._older, self._known, self._held = self._known, {}, 0
        self._known[raw] = measured
        return measured

    def _digest(self, data: bytes) -> bytes:
        digest = hashlib.sha256(data).digest()[:16]
        if self._hash_key is not None:  # of the hash, so that a log that gives only that is keyed the same
            return hmac.digest(self._hash_key, digest, "sha256")[:16]
        return digest

    def _measure(self, value: Any, raw: bytes, tools: bool, path: str) -> Measured:
        role: str | None = None
        words: int | None = None
        images = False
        if tools:
            canonical = _encode_sorted(value)
            chars = len(canonical)
        elif not isinstance(value, dict):
            raise BadRecordError("a message is not an object", path)
        elif "sha256" in value and "content" not in value:
            return self._hashed(value, path)
        else:
            role = value.get("role")
            role = role if isinstance(role, str) else None
            if None in value.values():
                canonical = _encode_sorted({name: item for name, item in value.items() if item is not None})
            else:
                canonical = _encode_sorted(value)
            content = value.get("content")
            if isinstance(content, str):
                chars, words = len(content), count_words(content)
            else:
                parts: list[str] = []
                images = _collect_text(value, parts, 0)
                chars = sum(map(len, parts))
                words = sum(map(count_words, parts))
        if self._redact is not None:
            canonical = self._redact(canonical)
            raw = self._redact(raw)
        found = key = self._digest(canonical)
        if not canonical.isascii():
            text = canonical.decode()
            if not unicodedata.is_normalized("NFC", text):
                key = self._digest(unicodedata.normalize("NFC", text).encode())
        masked = key
        if len(canonical.translate(None, _DIGITS)) != len(canonical):
            plain = _UUID.sub(b"#", canonical) if canonical.count(b"-") >= 4 else canonical
            masked = self._digest(_NUMBER.sub(b"#", plain))
        logged = found if raw == canonical else self._digest(raw)
        return Measured(found, key, masked, logged, canonical, role, chars, words, images, None)

    def _hashed(self, value: dict[str, Any], path: str) -> Measured:
        """A message that the log gives by its sha256, with or without its sizes."""
        sha = value["sha256"]
        if not isinstance(sha, str) or not _SHA256.match(sha):
            raise BadRecordError("a message's sha256 is not 64 hexadecimal digits", f"{path}.sha256")
        digest = bytes.fromhex(sha)[:16]
        if self._hash_key is not None:
            digest = hmac.digest(self._hash_key, digest, "sha256")[:16]
        words = value.get("words") if type(value.get("words")) is int else None
        chars = value.get("chars") if type(value.get("chars")) is int else None
        role = value.get("role") if isinstance(value.get("role"), str) else None
        counted = value.get("tokens")
        given = None
        if type(counted) is int and counted >= 0:
            given = (str(value.get("encoding") or "o200k_base"), counted)
        return Measured(digest, digest, digest, digest, None, role, chars, words, False, given)


class Contents:
    """The distinct contents of one segment, in order of first appearance, as columns."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._seen: dict[bytes, Content] = {}  # by the bytes, as logged or as written again
        self._by_hash: dict[bytes, int] = {}
        self.hashes: list[bytes] = []
        self.kinds: list[str] = []
        self.roles: list[str | None] = []
        self.texts: list[bytes | None] = []
        self.chars: list[int | None] = []
        self.words: list[int | None] = []
        # token counts that the log gives for contents without text: (number, encoding, tokens)
        self.given_tokens: list[tuple[int, str, int]] = []

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, value: Any, kind: str, path: str = "$.messages") -> Content:
        """The content of one message, as an object or as JSON (msgspec.Raw), or of a list of tools.

        Raises BadRecordError for what is neither, and for Raw what decoding it raises.
        """
        logged = type(value) is msgspec.Raw
        try:
            raw = bytes(value) if logged else _encode(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadRecordError(f"a message that cannot be written as JSON: {error}", path) from None
        found = self._seen.get(raw)
        if found is not None:
            return found
        if logged:
            measured = self._measures.of_logged(raw, kind == TOOLS, path)
        else:
            measured = self._measures.of_value(value, raw, kind == TOOLS, path)
        number = self._number(measured, kind)
        text = measured.text
        found = Content(
            number, measured.key, measured.masked, measured.raw, measured.words or 0, measured.images, text is None
        )
        self._seen[raw] = found
        return found

    def _number(self, measured: Measured, kind: str) -> int:
        known = self._by_hash.get(measured.hash)
        if known is not None:
            if measured.text is not None and self.texts[known] is None:  # first seen as a bare hash
                self.texts[known] = measured.text
                self.chars[known], self.words[known] = measured.chars, measured.words
            return known
        number = len(self.hashes)
        self._by_hash[measured.hash] = number
        self.hashes.append(measured.hash)
        self.kinds.append(kind)
        self.roles.append(measured.role)
        self.texts.append(measured.text)
        self.chars.append(measured.chars)
        self.words.append(measured.words)
        if measured.tokens is not None:
            self.given_tokens.append((number, *measured.tokens))
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
