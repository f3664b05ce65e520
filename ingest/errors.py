"""The one error tree: every message says what, where and what to do, in at most three lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class HindcastError(Exception):
    """An error a person can act on.

    `what` is one sentence, `where` a place such as `file.jsonl:12`, `remedy` the next step.
    `exit_code` is the process exit code: 2 for bad input or usage, 1 for a gate that failed.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n{self.remedy}" if self.remedy else head


class InputError(HindcastError):
    """A log, mapping or argument that cannot be used."""


class StoreError(HindcastError):
    """The store is missing, foreign, newer than this program, or cannot be written."""


class OlderStoreError(StoreError):
    """The store has an older schema than this program reads."""


class StoreBusyError(StoreError):
    """Another process holds the store for longer than the time limit."""


class StrategyError(HindcastError):
    """A strategy file that does not say what it means."""


class PriceError(HindcastError):
    """A price book row or override that cannot be used."""


class GateError(HindcastError):
    """The input was understood, and a limit that the user set was not met."""

    exit_code = 1


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to `word`, or None if nothing is near enough to be meant."""
    choices = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.6)
    return choices[close[0]] if close else None


def nearest_file(path: Path) -> str | None:
    """A remedy sentence for a file that is not there: the nearest name in its folder, or None."""
    try:
        names = [found.name for found in path.parent.iterdir()]
    except OSError:
        return None
    near = nearest(path.name, names)
    return f"Did you mean {path.parent / near}?" if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy sentence: the nearest right name, else the whole list of them."""
    names = list(known)
    near = nearest(word, names)
    return f"Did you mean '{near}'?" if near else f"Known: {', '.join(names)}."
