"""A mapping file while it is drafted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
TOKENS = ("input_tokens", "output_tokens")


@dataclass
class Draft:
    """The mapping as it grows, and what is to be checked in it."""

    document: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
