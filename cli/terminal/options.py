"""Values as they are typed: days, numbers, names and `name=value` pairs, read alike by every command."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis import time_zone
from analysis.calendar_days import RELATIVE_DAYS, first_day, last_day, single_day, today
from cli.terminal.output import note, say

if TYPE_CHECKING:
    from ingest.store.database import Store


def complete_day(typed: str) -> list[str]:
    """The words for days that begin with what is typed."""
    return [word for word in RELATIVE_DAYS if word.startswith(typed)]


def complete_dimensions(typed: str) -> list[str]:
    """The dimensions that begin with what stands after the last comma."""
    from analysis.dimensions import TAG, names

    done, comma, last = typed.rpartition(",")
    known = [*(name for name in names() if not name.startswith(TAG)), TAG]
    return [f"{done}{comma}{name}" for name in known if name.startswith(last)]


def complete_filter(typed: str) -> list[str]:
    """The dimensions that begin with what is typed, each with its `=`."""
    from analysis.dimensions import TAG, names

    return [f"{name}=" for name in names("filter") if name.startswith(typed) and not name.startswith(TAG)]


def selected_store(store: str, where: Sequence[str] | None) -> Store:
    """The store, of which only the calls that `--where` keeps are read. Raises InputError as `as_filter`."""
    from ingest.store.address import open_store

    if not where:
        return open_store(store)
    from analysis.reports.filtered_store import filtered

    return filtered(open_store(store), where)


def comma_separated(text: str) -> list[str]:
    """`day, model` as its parts."""
    return [part.strip() for part in text.split(",") if part.strip()]


def between(least: float, most: float) -> Callable[..., Any]:
    """For an option: a number (or nothing) from `least` to `most`; NaN and infinity are none. Raises InputError."""

    def check(param: typer.CallbackParam, value: float | None) -> float | None:
        from ingest.errors import InputError

        if value is not None and not least <= value <= most:
            name = param.opts[-1]
            share = value / 100
            meant = f"Did you mean {name} {share:g}?" if most < value and least <= share <= most else "See: --help"
            raise InputError(f"{name} {value:g} is not between {least:g} and {most:g}", remedy=meant)
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


def registry(module: str, name: str) -> Callable[[], Iterable[str]]:
    """The names in the constant `name` of a module, which is imported when they are asked for."""

    def names() -> Iterable[str]:
        found: Iterable[str] = getattr(importlib.import_module(module), name)
        return found

    return names


def choice(name: str, known: Sequence[str] | Callable[[], Iterable[str]], help: str, *, several: bool = False) -> Any:
    """An option whose value is one of the names of `known`, or `several` of them with commas between.

    A value that is none of them raises InputError with the nearest; a shell completes them.
    """

    def names() -> list[str]:
        return list(known() if callable(known) else known)

    def check(param: typer.CallbackParam, value: str | None) -> str | None:
        from ingest.errors import InputError, did_you_mean

        for text in [] if value is None else [part.strip() for part in value.split(",")] if several else [value]:
            if text not in names():
                what = f"{param.opts[0]} '{text}' is not one of {', '.join(names())}"
                raise InputError(what, remedy=did_you_mean(text, names()))
        return value

    def complete(incomplete: str) -> list[str]:
        done, comma, typed = incomplete.rpartition(",") if several else ("", "", incomplete)
        return [f"{done}{comma}{one}" for one in names() if one.startswith(typed)]

    return typer.Option(name, callback=check, autocompletion=complete, help=help)


def store_in_window(
    store: str, where: Sequence[str] | None, since: date | None, until: date | None, *, as_json: bool = False
) -> Store:
    """`selected_store`, where anything is logged on these days.

    Where nothing is, it says so, with the days that the log has and what today is: as the command's answer, which then
    ends, or beside JSON as a note on stderr, and the command goes on.
    """
    from analysis.log_days import nothing_logged
    from ingest.store.address import open_store

    message = None if since is None and until is None else nothing_logged(open_store(store), since, until)
    if message is not None:
        now = today()
        if any(day is not None and abs(day - now) <= RECENT for day in (since, until)):
            message = f"{message} Today is {now} ({time_zone.label()})."
        (note if as_json else say)(message)
        if not as_json:
            raise typer.Exit
    return selected_store(store, where)


def requested_time_zone(args: Sequence[str]) -> str | None:
    """The time zone that the words of a command line ask for, else that of hindcast.toml where the environment names
    none; None where nobody does. Raises InputError for a settings file that cannot be read."""
    import os

    from analysis import settings_file

    for place, word in enumerate(args):
        if word == "--tz" and place + 1 < len(args):
            return args[place + 1]
        if word.startswith("--tz="):
            return word.removeprefix("--tz=")
    if os.environ.get(time_zone.VARIABLE):
        return None
    file = settings_file.read()
    zone = file.section("days", ("time_zone",)).get("time_zone")
    if zone is not None and not isinstance(zone, str):
        raise file.error(f"time_zone = {zone!r} is no name", remedy='Write: time_zone = "Europe/Berlin"')
    return zone


def remember_day(context: typer.Context, _param: Any, value: date | None) -> date | None:
    """For --day, which is read before --since and --until: it stands for both."""
    context.meta[DAY_KEY] = value
    return value


def in_order(context: typer.Context, param: typer.CallbackParam, value: date | None) -> date | None:
    """For --since and --until: the day of --day where that is given. Raises InputError where they contradict it or
    each other; whichever of the two is read last sees both."""
    from ingest.errors import InputError

    day = context.meta.get(DAY_KEY)
    if day and value:
        raise InputError(f"--day and {param.opts[0]} are both given", remedy="Leave one of them out.")
    since, until = context.params.get("since") or value, context.params.get("until") or value
    if since and until and since > until:
        raise InputError(f"--since {since} is after --until {until}", remedy="Give the earlier day to --since.")
    return day or value


STRATEGIES = Path("strategies")  # where strategy files of one's own are looked for, as the dashboard does
DAY_KEY = "hindcast.day"  # of the context's `meta`
RECENT = timedelta(days=31)  # days this close to today may have been counted from it
Day = Annotated[
    date | None,
    typer.Option(
        "--day", parser=single_day, autocompletion=complete_day, metavar="DAY",
        help="Day to explain (default: the newest that can be judged).",
    ),
]  # fmt: skip
Since = Annotated[
    date | None,
    typer.Option(
        "--since", parser=first_day, callback=in_order, autocompletion=complete_day, metavar="DAY",
        help="First day: 2024-03-05, 2024-03, 2024-W14, today, yesterday, 7d.",
    ),
]  # fmt: skip
Until = Annotated[
    date | None,
    typer.Option(
        "--until", parser=last_day, callback=in_order, autocompletion=complete_day, metavar="DAY",
        help="Last day, inclusive, in the same forms.",
    ),
]  # fmt: skip
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="DIM=VALUE",
        autocompletion=complete_filter,
        help="Keep calls, with * and ?: agent=draft*, task!=draft, user='(none)'. May be repeated.",
    ),
]
By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="DIM,...",
        autocompletion=complete_dimensions,
        help="Dimensions: day, agent, model, tag.KEY, ... (docs/cost.md).",
    ),
]
