"""`hindcast.toml` in the working folder: what a team decides once. Each subject reads the section that is its own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from ingest.errors import InputError, did_you_mean

FILE: Final = Path("hindcast.toml")
SECTIONS: Final = ("budget", "gates", "rollout", "days", "watch")


@dataclass(frozen=True)
class SettingsFile:
    """The content of one settings file; without sections where there is none."""

    path: Path = FILE
    document: Mapping[str, Any] = field(default_factory=dict)

    def section(self, name: str, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """The table of that name, empty where the file has none. With `keys` it holds no other keys.

        Raises InputError that names the section and the nearest key.
        """
        table = self.document.get(name, {})
        if not isinstance(table, dict):
            raise self.error(f"{name} must be a table", remedy=f"Write: [{name}] and its keys below it.")
        known = list(table if keys is None else keys)
        for key in table:
            if key not in known:
                raise self.error(f"[{name}] has no key '{key}'", remedy=did_you_mean(key, known))
        return table

    def number(self, key: str, value: object, what: str, *, most: Decimal | None = None) -> Decimal:
        """The value of a key as an amount above 0, up to `most`. Raises InputError."""
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("NaN")
        if isinstance(value, bool) or not amount.is_finite() or amount <= 0 or (most is not None and amount > most):
            limit = f" up to {most}" if most is not None else ""
            raise self.error(f"{key} = {value!r} is not {what} above 0{limit}", remedy="See: docs/ci.md")
        return amount

    def error(self, what: str, remedy: str | None = None) -> InputError:
        """An error that names the file."""
        return InputError(what, where=str(self.path), remedy=remedy)


def read(path: Path = FILE) -> SettingsFile:
    """The settings file, empty where there is none. Raises InputError for what is no TOML or an unknown section."""
    if not path.is_file():
        return SettingsFile(path)
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML: {error}", where=str(path)) from error
    for name in document:
        if name not in SECTIONS:
            raise InputError(f"there is no section [{name}]", where=str(path), remedy=did_you_mean(name, SECTIONS))
    return SettingsFile(path, document)
