"""Arguments as a person writes them in Python: stores by path, days by text, filters as a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from analysis.calendar_days import first_day, last_day, single_day
from ingest.errors import InputError
from ingest.store import database
from ingest.store.address import open_store

if TYPE_CHECKING:
    from analysis.dimensions import Filter
    from replay.strategy.schema import Strategy

StoreLike: TypeAlias = database.Store | str | Path
Day: TypeAlias = date | str | None
Where: TypeAlias = Mapping[str, str | None] | Sequence[str] | None
StrategyLike: TypeAlias = "Strategy | Mapping[str, object] | str | Path"


def as_store(store: StoreLike) -> database.Store:
    """The store itself, or the one at a path."""
    return store if isinstance(store, database.Store) else open_store(store)


def as_day(day: Day) -> date | None:
    """A UTC day of a date, a datetime or text as the command line takes it. Raises InputError for other text."""
    if isinstance(day, datetime):
        return day.date()
    return single_day(day) if isinstance(day, str) else day


def as_window(since: Day, until: Day) -> tuple[date | None, date | None]:
    """The first and the last day; of a text such as `2024-03` its first and its last.

    Raises InputError where they are in the wrong order.
    """
    first = first_day(since) if isinstance(since, str) else as_day(since)
    last = last_day(until) if isinstance(until, str) else as_day(until)
    if first and last and first > last:
        raise InputError(f"since {first} is after until {last}", remedy="Give the earlier day to since.")
    return first, last


def as_where(where: Where) -> Filter:
    """A filter from values of dimensions or texts as of `--where`. Raises InputError for an unknown dimension."""
    from analysis.dimensions import as_filter

    return as_filter([where] if isinstance(where, str) else where)


def as_names(names: str | Iterable[str]) -> list[str]:
    """`"day,model"` or `["day", "model"]`."""
    parts = names.split(",") if isinstance(names, str) else names
    return [part.strip() for part in parts if part.strip()]


def as_strategy(strategy: StrategyLike) -> Strategy:
    """A strategy, its document as a mapping, or the path of its YAML file. Raises StrategyError."""
    from replay.strategy.schema import Strategy

    if isinstance(strategy, Strategy):
        return strategy
    return Strategy.from_dict(strategy) if isinstance(strategy, Mapping) else Strategy.load(strategy)


def as_strategies(strategies: StrategyLike | Iterable[StrategyLike]) -> list[Strategy]:
    """One strategy or several."""
    from replay.strategy.schema import Strategy

    if isinstance(strategies, (str, Path, Mapping, Strategy)):
        return [as_strategy(strategies)]
    return [as_strategy(strategy) for strategy in strategies]
