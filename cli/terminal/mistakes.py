"""Mistyped commands and options, answered like any other error: what is wrong, and the nearest right word."""

from __future__ import annotations

import re
from typing import Any, Final

import typer

from analysis.calendar_days import single_day
from ingest.errors import InputError, did_you_mean, nearest

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer shows no other way to it

# what other tools call it -> what it is here; the first that the command has holds
_OTHER_WORDS: Final = {
    "--format": ("--output", "--json"), "--csv": ("--output",), "--parquet": ("--output",), "--out": ("--output",),
    "--out-file": ("--output",), "--database": ("--store",), "--db": ("--store",), "--file": ("--store",),
    "--group-by": ("--by",), "--groupby": ("--by",), "--group": ("--by",), "--dimension": ("--by",),
    "--filter": ("--where",), "--agent": ("--where",), "--task": ("--where",), "--model": ("--where",),
    "--user": ("--where",), "--start": ("--since",), "--from": ("--since",), "--end": ("--until",),
    "--to": ("--until",), "--date": ("--day",), "--at": ("--day",), "--limit": ("--top",), "--top": ("--limit",),
    "--rows": ("--top", "--limit"), "--floor": ("--quality-floor",), "--quality": ("--quality-floor",),
}  # fmt: skip


def explained(error: Exception, command: Any, name: str) -> InputError:
    """The error of a command line as one that says what to type. `name` is the command as it was called."""
    option = getattr(error, "option_name", None)
    extra = re.match(r"Got unexpected extra argument\(s\) \((.*)\)$", str(getattr(error, "message", "")))
    if option is not None and type(error).__name__ == "NoSuchOption":
        return InputError(f"{name} has no option {option}", remedy=_nearest_option(str(option), command))
    if extra is not None:
        return InputError(f"{name} takes no '{extra[1]}'", remedy=_where_it_goes(extra[1], command))
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return InputError(f"{name}: {text[:1].lower()}{text[1:].rstrip('.')}", remedy=_example(command))


def unknown_command(word: str, group: Any, context: Any, name: str) -> InputError:
    """A word that is no command of a group."""
    known = [one for one in group.list_commands(context) if not group.get_command(context, one).hidden]
    return InputError(f"{name} has no command '{word}'", remedy=did_you_mean(word, known))


def _options(command: Any) -> list[str]:
    return [option for param in command.params for option in param.opts if option.startswith("--")]


def _nearest_option(option: str, command: Any) -> str:
    known = _options(command)
    meant = next((word for word in _OTHER_WORDS.get(option, ()) if word in known), None) or nearest(option, known)
    if meant is None:
        return f"It has: {', '.join(known)}."
    param = next(param for param in command.params if meant in param.opts)
    value = f" {param.metavar or param.type.name.upper()}" if not getattr(param, "is_flag", False) else ""
    return f"Did you mean {meant}{value}?"


def _where_it_goes(text: str, command: Any) -> str | None:
    known = _options(command)
    if "--day" in known:
        try:
            return f"A day is an option: --day {single_day(text).isoformat()}"
        except InputError:
            pass
    if "--where" in known and "=" in text:
        return f"A filter is an option: --where {text}"
    return _example(command)


def _example(command: Any) -> str | None:
    """The example of the command's help."""
    found = re.search(r"Example: (.*)", command.help or "")
    return f"Example: {found[1]}" if found else None
