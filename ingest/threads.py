"""How many threads or processes this program uses at once."""

from __future__ import annotations

import os
from typing import Final

from ingest.errors import InputError

VARIABLE: Final = "HINDCAST_THREADS"


def chosen() -> int | None:
    """The number in the environment variable HINDCAST_THREADS, None where it is not set. Raises InputError."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    if not given.isdecimal() or not 1 <= int(given) <= 1024:
        raise InputError(f"{VARIABLE} is '{given}', which is not a number of threads", remedy="Write 1 to 1024.")
    return int(given)


def at_most(number: int | None = None) -> int:
    """The threads to use: HINDCAST_THREADS, else one per processor; no more than `number`."""
    found = chosen() or os.cpu_count() or 1
    return found if number is None else min(found, number)
