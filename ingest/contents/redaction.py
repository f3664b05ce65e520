"""What leaves no trace in the store: masked secrets, and keyed hashes in place of texts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from ingest.errors import InputError

# built-in patterns: what most often leaks into prompts; matched in the JSON text of a message
PATTERNS: dict[str, str] = {
    "private-key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    "api-key": r"\b(?:sk|pk|rk|ak|key|ghp|gho|ghs|xox[abp]|glpat|hf|AIza|AKIA|ASIA)[-_]?[A-Za-z0-9_\-]{16,}",
    "bearer": r"(?i:\bbearer\s+)[A-Za-z0-9._~+/\-]{16,}=*",
    "email": r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})*\.[A-Za-z]{2,24}",
    "card": r"(?<![\d.\-])(?:\d[ \-]?){12,18}\d(?![\d\-])",
    "phone": (
        r"(?<![\w.\-])(?:\+\d{1,3}[ .\-]?(?:\(\d{1,4}\)[ .\-]?)?|\(\d{2,4}\)[ .\-]?|0)"
        r"\d{2,4}(?:[ .\-]?\d{2,4}){1,4}(?![\w\-])"
    ),
}


class Redactor:
    """Replaces every match of the built-in and the user's patterns by `[redacted:NAME]`."""

    def __init__(self, extra: Sequence[str] = ()) -> None:
        self.extra = tuple(extra)
        self._rules: list[tuple[re.Pattern[str], str]] = [
            (re.compile(pattern, re.DOTALL), f"[redacted:{name}]") for name, pattern in PATTERNS.items()
        ]
        for pattern in self.extra:
            try:
                self._rules.insert(0, (re.compile(pattern), "[redacted:user]"))
            except re.error as error:
                raise InputError(f"--redact: not a regular expression: {error}", where=pattern) from None

    def __reduce__(self) -> tuple[type[Redactor], tuple[tuple[str, ...]]]:
        return (Redactor, (self.extra,))

    def redact_text(self, text: str | None) -> str | None:
        """The text with every match replaced; None stays None."""
        if text is None:
            return None
        for rule, mark in self._rules:
            if mark == "[redacted:card]":
                text = rule.sub(_card, text)
            else:
                text = rule.sub(mark, text)
        return text

    def redact_bytes(self, data: bytes) -> bytes:
        """`redact_text` for UTF-8 bytes. Raises UnicodeDecodeError for any other."""
        return (self.redact_text(data.decode()) or "").encode()


def _card(found: re.Match[str]) -> str:
    """Mask a number only if its check digit is right (Luhn), so that ids and times stay."""
    digits = [int(mark) for mark in found.group() if mark.isdigit()]
    total = sum(
        digit if place % 2 == 0 else (digit * 2 - 9 if digit > 4 else digit * 2)
        for place, digit in enumerate(reversed(digits))
    )
    return "[redacted:card]" if total % 10 == 0 else found.group()


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
