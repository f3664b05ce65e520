"""`hindcast.toml` in the working folder: what a person decides once, such as the budget."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ingest.errors import InputError, did_you_mean

FILE = Path("hindcast.toml")
BUDGET_KEYS = ("usd_per_day", "usd_per_month")


@dataclass(frozen=True)
class Settings:
    """Dollars a day and a month that are meant to be enough; None where none is set."""

    usd_per_day: Decimal | None = None
    usd_per_month: Decimal | None = None

    @property
    def daily(self) -> Decimal | None:
        """The budget as dollars a day; a month has 30.4 days on average."""
        if self.usd_per_day is not None:
            return self.usd_per_day
        return None if self.usd_per_month is None else (self.usd_per_month / Decimal("30.4")).quantize(Decimal("0.01"))


def read(path: Path = FILE) -> Settings:
    """The settings; defaults if there is no file. Raises InputError that names the key."""
    if not path.is_file():
        return Settings()
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML: {error}", where=str(path)) from error
    budget = document.get("budget", {})
    if not isinstance(budget, dict):
        raise InputError(
            "[budget] must be a table", where=str(path), remedy="Write: [budget] and below usd_per_day = 200"
        )
    for key in budget:
        if key not in BUDGET_KEYS:
            raise InputError(f"[budget] has no key '{key}'", where=str(path), remedy=did_you_mean(key, BUDGET_KEYS))
    return Settings(**{key: _dollars(value, key, path) for key, value in budget.items()})


def _dollars(value: Any, key: str, path: Path) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal(-1)
    if isinstance(value, bool) or not amount.is_finite() or amount <= 0:
        raise InputError(
            f"{key} = {value!r} is not an amount of dollars", where=str(path), remedy=f"Write: {key} = 200"
        )
    return amount
