"""Growth as people state it: `5%/month`."""

from __future__ import annotations

import re
from math import log
from typing import Final

from ingest.errors import InputError

DAYS: Final = {"day": 1.0, "week": 7.0, "month": 30.4375, "quarter": 91.3125, "year": 365.25}
_FORM: Final = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*%\s*(?:/|per|a)\s*(\w+?)s?\s*")


def growth_per_day(text: str) -> float:
    """Log units a day of `5%/month`, `-2 % a week` or `none`. Raises InputError."""
    if text.strip().lower() in ("none", "0", "0%"):
        return 0.0
    found = _FORM.fullmatch(text.lower())
    days = DAYS.get(found[2]) if found else None
    if found is None or days is None or float(found[1]) <= -100:
        raise InputError(
            f"'{text}' is no growth",
            remedy=f"Write a share of a period: 5%/month, -2%/week; or none. ({', '.join(DAYS)})",
        )
    return log(1 + float(found[1]) / 100) / days
