"""What long work reports its progress to."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Counts units of work: bytes, calls or contents, as the function that takes it says."""

    def advance(self, amount: float) -> None:
        """`amount` more units are done."""
        ...

    def total(self, amount: float) -> None:
        """There are `amount` units in all."""
        ...
