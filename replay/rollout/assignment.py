"""Who is treated: a hash of the unit, so that every process, gateway and later reader of the log decides alike.

The draw of a unit is the first 8 bytes (big-endian) of sha256("SEED:UNIT"), as a fraction of 2^64; the unit is treated
where its draw is below the share. A larger share therefore keeps everyone treated who was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Arm = Literal["treated", "control"]
COLUMNS: Final = {
    "conversation": "conversation_id",
    "trace": "trace_id",
    "request": "request_id",
    "user": "user_id",
}
"""The units that are a column of the log. Beside them: `call`, each call for itself, and `tag:KEY`, the tag KEY:..."""
TAG: Final = "tag:"
UNITS: Final = (*COLUMNS, "call", f"{TAG}KEY")
_WHOLE: Final = 2.0**64


def is_unit(name: str) -> bool:
    """Whether `name` is one of UNITS."""
    return name in COLUMNS or name == "call" or (name.startswith(TAG) and len(name) > len(TAG))


def draw(unit: str, seed: int) -> float:
    """A number in [0, 1), the same for the same unit and seed everywhere."""
    digest = hashlib.sha256(f"{seed}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _WHOLE


def arm(unit: str, *, share: float, seed: int) -> Arm:
    """The arm of a unit where `share` of the units (0 to 1) are treated."""
    return "treated" if draw(unit, seed) < share else "control"


def draws(units: Iterable[str], seed: int) -> NDArray[np.float64]:
    """`draw` of each unit."""
    return np.array([draw(unit, seed) for unit in units], np.float64)
