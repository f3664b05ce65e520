"""Values as they are typed: days and `name=value` pairs, read alike by every command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from cli.terminal.output import say

_FORM = "YYYY-MM-DD"


def parse_day(text: str) -> date:
    """A day of the years 1900 to 2999 as `YYYY-MM-DD`. Raises InputError for anything else."""
    from ingest.errors import InputError

    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise InputError(f"'{text}' is not a day", remedy=f"Write days as {_FORM}.") from error
    if not 1900 <= day.year < 3000:
        raise InputError(f"'{text}' is not a day of any log", remedy="Days are of the years 1900 to 2999.")
    return day


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


def between(least: float, most: float) -> Callable[..., Any]:
    """For an option: a number (or nothing) from `least` to `most`; NaN and infinity are none. Raises InputError."""

    def check(param: typer.CallbackParam, value: float | None) -> float | None:
        from ingest.errors import InputError

        if value is not None and not least <= value <= most:
            name = param.opts[-1]
            raise InputError(f"{name} {value:g} is not between {least:g} and {most:g}", remedy="See: --help")
        return value

    return check


SHARE = between(0, 1)
FLOOR = between(0, 2)
POSITIVE = between(1e-9, 1e12)


def amount(param: typer.CallbackParam, value: str | None) -> str | None:
    """For an option: dollars, or a factor, as a plain decimal from 0 to below a billion. Raises InputError."""
    from decimal import Decimal, InvalidOperation

    from ingest.errors import InputError

    if value is not None:
        try:
            number = Decimal(value.removeprefix("$"))
        except InvalidOperation:
            number = Decimal("NaN")
        if not (number.is_finite() and 0 <= number < 10**9):
            name = param.opts[-1]
            raise InputError(
                f"{name} '{value}' is not a number from 0 to a billion", remedy=f"Write it with a point: {name} 2.75"
            )
    return value and value.removeprefix("$")


def silent(store: str, since: date | None, until: date | None, *, as_json: bool = False) -> bool:
    """Whether nothing is logged on these days: then a person is told so, with the days that the log has."""
    if as_json or (since is None and until is None):
        return False
    from analysis.calendar_days import nothing_logged
    from ingest.store.database import Store

    told = nothing_logged(Store(store), since, until)
    if told:
        say(told)
    return told is not None


def in_order(context: typer.Context, value: date | None) -> date | None:
    """Raises InputError where --since is after --until; whichever of the two is read last sees both."""
    from ingest.errors import InputError

    since, until = context.params.get("since") or value, context.params.get("until") or value
    if since and until and since > until:
        raise InputError(f"--since {since} is after --until {until}", remedy="Give the earlier day to --since.")
    return value


Since = Annotated[
    date | None,
    typer.Option("--since", parser=parse_day, callback=in_order, metavar=_FORM, help="First UTC day."),
]
Until = Annotated[
    date | None,
    typer.Option("--until", parser=parse_day, callback=in_order, metavar=_FORM, help="Last UTC day, inclusive."),
]
