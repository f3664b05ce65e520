"""What leaves no trace in the store: masked secrets, and keyed hashes in place of texts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ingest.contents.secret_patterns import KINDS, SECRET_NAME
from ingest.errors import InputError
from ingest.records.call import BadRecordError

_DEEPEST = 4  # JSON in a string in JSON: arguments of a tool that hold a document
_LONG = 10**8  # a number from which on it may be a card's
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})|\\+(/)")
_HIGH = re.compile("[\ud800-\udfff]")


class Redactor:
    """Replaces every match of the built-in and the user's patterns by `[redacted:NAME]`.

    The user's regular expressions come first. In JSON the strings are searched, names and values, and JSON within them;
    a value whose name says that it is a secret is masked whole.
    """

    def __init__(self, extra: Sequence[str] = ()) -> None:
        self.extra = tuple(extra)
        self._own = []
        for pattern in self.extra:
            try:
                self._own.append(re.compile(pattern))
            except re.error as error:
                raise InputError(f"--redact: not a regular expression: {error}", where=pattern) from None

    def __reduce__(self) -> tuple[type[Redactor], tuple[tuple[str, ...]]]:
        return (Redactor, (self.extra,))

    def redact_text(self, text: str | None) -> str | None:
        """The text with every match replaced; None stays None."""
        return None if text is None else self._plain(text)

    def redact_excerpt(self, text: str) -> str:
        """`redact_text` for a piece of JSON that may be broken: escapes that hide a letter are written out first."""
        return self._plain(_ESCAPE.sub(_unescaped, text))

    def redact_bytes(self, data: bytes) -> bytes:
        """JSON with every string redacted. Raises BadRecordError where it is nested too deep."""
        value = msgspec.json.decode(data)
        try:
            clean = self.redact_value(value)
        except RecursionError:
            raise BadRecordError("nested too deep to be redacted", "$") from None
        return data if clean == value else msgspec.json.encode(clean)

    def redact_value(self, value: Any, depth: int = 0) -> Any:
        """A JSON value with every string redacted, and every number that is somebody's."""
        if isinstance(value, str):
            return self._string(value, depth)
        if isinstance(value, dict):
            return {self._plain(name): self._named(name, item, depth) for name, item in value.items()}
        if isinstance(value, list):
            return [self.redact_value(item, depth) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and (self._own or abs(value) >= _LONG):
            written = str(value)
            clean = self._plain(written)
            return value if clean == written else clean
        return value

    def _named(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, str) and value and SECRET_NAME.match(name[-64:]):
            clean = self._plain(value)
            return "[redacted:secret]" if clean == value else clean
        return self.redact_value(value, depth)

    def _string(self, text: str, depth: int) -> str:
        if depth < _DEEPEST and text[:1] in ("{", "["):
            try:
                value = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError, UnicodeError):
                return self._plain(text)
            clean = self.redact_value(value, depth + 1)
            return text if clean == value else msgspec.json.encode(clean).decode()
        return self._plain(text)

    def _plain(self, text: str) -> str:
        for own in self._own:
            text = own.sub("[redacted:user]", text)
        for _, pattern, replace, signs in KINDS:
            if not signs or any(sign in text for sign in signs):
                text = pattern.sub(replace, text)
        return text


def _unescaped(found: re.Match[str]) -> str:
    code, slash = found.groups()
    letter = slash or chr(int(code, 16))
    return found.group() if _HIGH.match(letter) or letter < " " else letter


def load_key(path: Path | None, store: Path) -> bytes:
    """The 32-byte key of keyed hashes. Made on first use, readable by its owner only; losing it only ends matching."""
    path = path or store.with_name(store.name + ".key")
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32) + "\n")
        except OSError as error:
            raise InputError(f"the key file cannot be written: {error.strerror}", where=str(path)) from error
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError):
        key = b""
    if len(key) < 16:
        raise InputError(
            "not a key file: expected at least 32 hexadecimal digits",
            where=str(path),
            remedy="Remove it to have a new one made, or name another with --key.",
        )
    return key
