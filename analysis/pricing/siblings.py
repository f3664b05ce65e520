"""Which of a maker's models of today could take the calls of one that was logged, by price and step of capability.

A step is no verdict on quality: it says what is worth trying, and evidence says whether it holds (`siblings.yaml`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from analysis.price_book.rows import Key, PriceRow, extend_first_price_backwards
from analysis.price_book.vocabulary import KINDS

TABLE: Final = Path(__file__).with_name("siblings.yaml")
_INPUT, _OUTPUT, _READ, _WRITE = (KINDS.index(kind) for kind in ("input", "output", "cache_read", "cache_write"))


@dataclass(frozen=True)
class Rates:
    """Standard prices of a model, in nano-dollars per million tokens."""

    input: int
    output: int
    cache_read: int  # what a cached token costs; the input price where the provider names no other
    cache_write: int

    def below(self, other: Rates) -> bool:
        """Whether input and output are both cheaper, or one is and the other equal."""
        return self.input <= other.input and self.output <= other.output and self != other


def siblings(key: Key) -> tuple[str, ...]:
    """The maker's models of today at the step of the model and below it, the most capable first, without itself.

    `key` is the provider and model of the price book. Empty where the table does not know the model.
    """
    steps: list[dict[str, Any]] = next((maker["steps"] for maker in _makers() if maker["provider"] == key[0]), [])
    held = [place for place, step in enumerate(steps) if any(fnmatchcase(key[1], glob) for glob in step["takes"])]
    return tuple(step["model"] for step in steps[held[-1] :] if step["model"] != key[1]) if held else ()


def table_date() -> date:
    """The day that the table of siblings was read on."""
    found: date = _table()["as_of"]
    return found


def rates_on(rows: list[tuple[int, PriceRow]], day: date) -> Rates | None:
    """The standard prices of a model on a day, of a request of ordinary size; None where input or output has none.

    `rows` are those of one model. Its first price holds for earlier days too.
    """
    text = day.isoformat()
    for _, row in extend_first_price_backwards(rows):
        begun = row.effective_from is None or row.effective_from <= text
        if row.tier == "standard" and row.above_tokens is None and begun and (row.effective_to or "9999") > text:
            given, answered = row.prices[_INPUT], row.prices[_OUTPUT]
            if given is None or answered is None:
                return None
            read, written = row.prices[_READ], row.prices[_WRITE]
            return Rates(given, answered, given if read is None else read, given if written is None else written)
    return None


@cache
def _table() -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    found: dict[str, Any] = yaml.load(TABLE.read_text("utf-8"), Loader=loader)  # noqa: S506  safe, both
    return found


def _makers() -> list[dict[str, Any]]:
    makers: list[dict[str, Any]] = _table()["makers"]
    return makers
