"""Values as they are typed: days and `name=value` pairs, read alike by every command."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated

import typer

_FORM = "YYYY-MM-DD"


def parse_day(text: str) -> date:
    """A day as `YYYY-MM-DD`. Raises InputError for anything else."""
    from ingest.errors import InputError

    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise InputError(f"'{text}' is not a day", remedy=f"Write days as {_FORM}.") from error


def today() -> date:
    """The present UTC day."""
    return datetime.now(UTC).date()


def parse_day_or_today(text: str) -> date:
    """As `parse_day`; `today` is the present UTC day."""
    return today() if text == "today" else parse_day(text)


def parse_pairs(items: Sequence[str]) -> dict[str, str]:
    """`agent=research_agent` and so on, by name. Raises InputError where the `=` is missing."""
    from ingest.errors import InputError

    found = {}
    for item in items:
        name, mark, value = item.partition("=")
        if not mark:
            raise InputError(f"--where {item} has no '='", remedy="Write it as: --where agent=research_agent")
        found[name.strip()] = value
    return found


Since = Annotated[date | None, typer.Option("--since", parser=parse_day, metavar=_FORM, help="First UTC day.")]
Until = Annotated[
    date | None, typer.Option("--until", parser=parse_day, metavar=_FORM, help="Last UTC day, inclusive.")
]
