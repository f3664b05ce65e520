"""Message texts, stored once each: canonical JSON, its hash, and what can be counted in it.

A message is known by its bytes first, as the log has them or as they are written again; everything dearer (sorting
keys, hashing, counting words, masking) is done only for one that neither this segment nor the one before has met.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ingest.records.call import BadRecordError

_sha256 = hashlib.sha256
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_UUID = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(rb"\d[\w:.,+/-]*")
_DIGITS = b"0123456789"
_SHA256 = re.compile(r"^[0-9a-fA-F]{64}$")
_IMAGE_TYPES = frozenset({"image", "image_url", "input_image"})
MESSAGE, OUTPUT, TOOLS = "message", "output", "tools"
_SPLIT_BELOW = 100  # characters: below them `str.split` is faster (measured)
_NOT_BLANK = bytes(0 if number < 128 and chr(number).isspace() else 1 for number in range(256))


_PLAIN_HEAD, _PLAIN_MIDDLE, _SPOKEN_HEAD = b'{"role":"', b'","content":"', b'{"role"'
_MIDDLE_SIZE = len(_PLAIN_MIDDLE)
_ROLES = 100  # names of roles that are kept


class _Spoken(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What most messages are."""

    role: str
    content: str


_decode_spoken = msgspec.json.Decoder(_Spoken).decode


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
    asks: bool  # it asks for a tool
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
    measured: Measured


# as their `_make`, without a call in between
_measured = functools.partial(tuple.__new__, Measured)
_content = functools.partial(tuple.__new__, Content)


class Measures:
    """Measures contents by the rules of one ingest."""

    def __init__(self, *, hash_key: bytes | None = None, redact: Callable[[bytes], bytes] | None = None) -> None:
        self._hash_key = hash_key
        self._redact = redact
        self._bare = hash_key is None and redact is None
        self._roles: dict[bytes, tuple[str, bytes]] = {}

    def of_logged(self, logged: bytes, tools: bool, path: str) -> Measured:
        """The measures of a message as the log has it. Raises what its decoding raises, and as `of_value`."""
        measured = None
        if logged[:9] == _PLAIN_HEAD:
            measured = self.of_plain(logged)
        if measured is None and logged[:7] == _SPOKEN_HEAD:
            measured = self._of_spoken(logged)
        if measured is None:
            value = _decode(logged)
            measured = self.of_value(value, _encode(value), tools, path)
        return measured

    def _digest(self, data: bytes) -> bytes:
        digest = _sha256(data).digest()[:16]
        if self._hash_key is not None:  # of the hash, so that a log that gives only that is keyed the same
            return hmac.digest(self._hash_key, digest, "sha256")[:16]
        return digest

    def of_plain(self, logged: bytes) -> Measured | None:
        """As `of_value`, for a message that is a role and a text in this order, compact and without an escape.

        Such a one is written again as it stands. None for any other.
        """
        end = logged.find(b'"', 9)
        start = end + _MIDDLE_SIZE
        if logged[end:start] != _PLAIN_MIDDLE or b"\\" in logged or logged.count(b'"') != 8 or logged[-2:] != b'"}':
            return None
        written = logged[9:end]
        name, tail = self._roles.get(written) or self._role(written)
        text = logged[start:-2]
        canonical = b'{"content":"' + text + tail
        if not logged.isascii():
            decoded = text.decode()
            chars, words = len(decoded), count_words(decoded)
            return self._measured(canonical, logged, name, chars, words, images=False, asks=False)
        words = count_ascii_words(text)
        if not self._bare:
            return self._measured(canonical, logged, name, len(text), words, images=False, asks=False)
        # as `_measured`, spelled out for what most contents are
        found = masked = _sha256(canonical).digest()[:16]
        if len(canonical.translate(None, _DIGITS)) != len(canonical):
            masked = self._masked(canonical)
        raw = _sha256(logged).digest()[:16]
        return _measured((found, found, masked, raw, canonical, name, len(text), words, False, False, None))

    def _role(self, written: bytes) -> tuple[str, bytes]:
        """A role's name, and how the canonical text of its message ends."""
        found = written.decode(), b'","role":"%b"}' % written
        if len(self._roles) < _ROLES:
            self._roles[written] = found
        return found

    def _masked(self, canonical: bytes) -> bytes:
        """The digest with numbers, dates and ids masked."""
        plain = _UUID.sub(b"#", canonical) if canonical.count(b"-") >= 4 else canonical
        return self._digest(_NUMBER.sub(b"#", plain))

    def _of_spoken(self, logged: bytes) -> Measured | None:
        """As `of_value`, for a message that is a role and a text in this order; None for any other."""
        try:
            spoken = _decode_spoken(logged)
        except msgspec.ValidationError:
            return None
        content = spoken.content
        role, text = _encode(spoken.role), _encode(content)
        raw = b'{"role":%b,"content":%b}' % (role, text)
        canonical = b'{"content":%b,"role":%b}' % (text, role)
        words = count_words(content)
        return self._measured(canonical, raw, spoken.role, len(content), words, images=False, asks=False)

    def of_value(self, value: Any, raw: bytes, tools: bool, path: str) -> Measured:
        """The measures of a message object, or of a list of tools; `raw` is its JSON.

        Raises BadRecordError for what is neither.
        """
        role: str | None = None
        words: int | None = None
        images = asks = False
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
            asks = asks_for_tools(value)
            content = value.get("content")
            if isinstance(content, str):
                chars, words = len(content), count_words(content)
            else:
                parts: list[str] = []
                images = _collect_text(value, parts, 0)
                chars = sum(map(len, parts))
                words = sum(map(count_words, parts))
        return self._measured(canonical, raw, role, chars, words, images=images, asks=asks)

    def _measured(
        self,
        canonical: bytes,
        raw: bytes,
        role: str | None,
        chars: int,
        words: int | None,
        *,
        images: bool,
        asks: bool,
    ) -> Measured:
        if self._redact is not None:
            canonical = self._redact(canonical)
            raw = self._redact(raw)
        found = key = self._digest(canonical)
        composed = canonical
        if not canonical.isascii():
            text = canonical.decode()
            if not unicodedata.is_normalized("NFC", text):
                composed = unicodedata.normalize("NFC", text).encode()
                key = self._digest(composed)
        masked = key
        if len(composed.translate(None, _DIGITS)) != len(composed):
            masked = self._masked(composed)
        logged = found if raw == canonical else self._digest(raw)
        return _measured((found, key, masked, logged, canonical, role, chars, words, images, asks, None))

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
        return Measured(digest, digest, digest, digest, None, role, chars, words, False, asks_for_tools(value), given)


class Contents:
    """The distinct contents of one segment, numbered in order of first appearance.

    `before` are those of the segment before it: what that knew need not be measured again.
    """

    def __init__(self, measures: Measures, before: Contents | None = None) -> None:
        self._measures = measures
        self._seen: dict[bytes, Content] = {}  # by the bytes, as logged or as written again
        self._before: dict[bytes, Content] = {}
        if before is not None:
            self._before, before._before = before._seen, {}  # one segment back, and no further
        self._numbers: dict[bytes, int] = {}  # by the hash
        self.measured: list[Measured] = []
        self.kinds: list[str] = []
        # token counts that the log gives for contents without text: (number, encoding, tokens)
        self.given_tokens: list[tuple[int, str, int]] = []

    def __len__(self) -> int:
        return len(self.measured)

    def words(self, number: int) -> int | None:
        """The words of a content of this segment; None where the log gave its hash alone."""
        return self.measured[number].words

    def add_all(self, values: list[Any], path: str) -> list[Content]:
        """The contents of a request's messages, at least one: the first is Raw only if all are. Raises as `add`."""
        if type(values[0]) is not msgspec.Raw:
            return [self.add(value, MESSAGE, path) for value in values]
        seen, logged = self._seen.get, self.add_logged
        return [seen(raw) or logged(raw, MESSAGE, path) for raw in map(bytes, values)]

    def add(self, value: Any, kind: str, path: str) -> Content:
        """The content of one message, as an object or as JSON (msgspec.Raw), or of a list of tools.

        Raises BadRecordError for what is neither, and for Raw what decoding it raises.
        """
        if type(value) is msgspec.Raw:
            return self.add_logged(bytes(value), kind, path)
        try:
            raw = _encode(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadRecordError(f"a message that cannot be written as JSON: {error}", path) from None
        found = self._seen.get(raw)
        if found is None:
            known = self._before.get(raw)
            measured = known[-1] if known is not None else self._measures.of_value(value, raw, kind == TOOLS, path)
            found = self._seen[raw] = self._numbered(measured, kind)
        return found

    def add_plain(self, logged: bytes, kind: str) -> Content | None:
        """As `add_logged`, for what may be more than one message: None unless it is one of a role and a plain text."""
        found = self._seen.get(logged)
        if found is None and logged[:9] == _PLAIN_HEAD:
            known = self._before.get(logged)
            measured = known[-1] if known is not None else self._measures.of_plain(logged)
            if measured is not None:
                found = self._seen[logged] = self._numbered(measured, kind)
        return found

    def add_logged(self, logged: bytes, kind: str, path: str) -> Content:
        """As `add`, for JSON."""
        found = self._seen.get(logged)
        if found is None:
            known = self._before.get(logged)
            measured = known[-1] if known is not None else self._measures.of_logged(logged, kind == TOOLS, path)
            found = self._seen[logged] = self._numbered(measured, kind)
        return found

    def _numbered(self, measured: Measured, kind: str) -> Content:
        content_hash, key, masked, raw, text, _, _, words, images, _, tokens = measured
        new = len(self.measured)
        number = self._numbers.setdefault(content_hash, new)
        if number == new:
            self.measured.append(measured)
            self.kinds.append(kind)
            if tokens is not None:
                self.given_tokens.append((number, *tokens))
        elif text is not None and self.measured[number].text is None:  # first seen as a bare hash
            self.measured[number] = measured._replace(role=self.measured[number].role)
        return _content((number, key, masked, raw, words or 0, images, text is None, measured))


def asks_for_tools(message: dict[str, Any]) -> bool:
    """Whether a message asks for a tool, as OpenAI's chat and Responses and Anthropic write it."""
    if message.get("tool_calls") or message.get("type") == "function_call":
        return True
    content = message.get("content")
    return isinstance(content, list) and any(isinstance(p, dict) and p.get("type") == "tool_use" for p in content)


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
                kind = item.get("type")
                if (isinstance(kind, str) and kind in _IMAGE_TYPES) or "inline_data" in item or "inlineData" in item:
                    images = True
    return images


def count_words(text: str) -> int:
    """len(text.split()) without building the list."""
    if len(text) < _SPLIT_BELOW or not text.isascii():
        return len(text.split())
    return count_ascii_words(text.encode())


def count_ascii_words(text: bytes) -> int:
    """len(text.decode().split()) of ASCII text, without building the list."""
    marks = int.from_bytes(text.translate(_NOT_BLANK), "little")  # one byte a character: 1, or 0 for whitespace
    return ((marks << 8 ^ marks) & marks).bit_count()  # characters behind whitespace or at the beginning
