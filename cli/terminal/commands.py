"""What all commands and groups of commands do alike: help in sections, days, signals and a closed pipe.

Every command with `--since` and `--until` also takes `--day`, which is both.
"""

from __future__ import annotations

import re
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from analysis import time_zone
from analysis.calendar_days import single_day
from cli.terminal import options
from cli.terminal.mistakes import UsageError, explained, unknown_command
from cli.terminal.output import Window, flush, requested_window


class InterruptedByUser(Exception):  # noqa: N818
    """Ctrl-C during a command."""


class OutputClosed(Exception):  # noqa: N818
    """The reader of the output ended before the command, as `| head` does."""


@contextmanager
def translate_signals() -> Iterator[None]:
    """Raises InterruptedByUser for Ctrl-C, OutputClosed for a stdout whose reader has ended and OutputFailedError for
    one that takes no more, whatever a library makes of them."""
    try:
        try:
            yield
        finally:  # flush here, where a closed pipe can be told from a defect
            flush()
    except KeyboardInterrupt as error:
        raise InterruptedByUser from error
    except BrokenPipeError as error:
        if not _stdout_is_closed():  # another pipe, such as that to a worker
            raise RuntimeError(str(error)) from error
        raise OutputClosed from error
    except Exception as error:
        if _caused_by_interrupt(error):
            raise InterruptedByUser from error
        raise


def _caused_by_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused the error: DuckDB takes the signal during a query and raises errors of its own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # a chain may lead back into itself
        seen.add(id(error))
        if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "InterruptException":
            return True
        if isinstance(error, RuntimeError) and str(error) == "Query interrupted":
            return True
        error = error.__cause__ or error.__context__
    return False


def _stdout_is_closed() -> bool:
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class Command(TyperCommand):
    """A command; with `--since` it gets `--day`, and its JSON names the days that were asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = [i for i, param in enumerate(self.params) if "--since" in param.opts and param.name == "since"]
        if places:
            day = TyperOption(
                param_decls=["--day"], type=single_day, is_eager=True, expose_value=False,
                callback=options.remember_day, metavar="DAY", help="One day: --since and --until in one.",
                autocompletion=lambda _context, _words, typed: options.complete_day(typed),
            )  # fmt: skip
            self.params.insert(places[0], day)
        if any("--store" in param.opts for param in self.params):
            zone = TyperOption(
                param_decls=["--tz"], expose_value=False, metavar="ZONE",
                help="Time zone of the days, such as Europe/Berlin (default: of hindcast.toml, else UTC).",
            )  # fmt: skip
            self.params.append(zone)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Days are read in their time zone, so it is known before any other option is read."""
        if any("--tz" in param.opts for param in self.params):
            ctx.with_resource(time_zone.days_in(options.requested_time_zone(args)))
        return super().parse_args(ctx, args)

    def make_context(self, info_name: Any, *args: Any, **kwargs: Any) -> Any:
        """As typer's. Raises InputError for what cannot be read."""
        try:
            return super().make_context(info_name, *args, **kwargs)
        except UsageError as error:
            raise explained(error, self, str(info_name)) from error

    def invoke(self, ctx: Any) -> Any:
        since, until = ctx.params.get("since"), ctx.params.get("until")
        window = Window(since, until) if "since" in ctx.params and (since or until) else None
        token = requested_window.set(window)
        try:
            return super().invoke(ctx)
        finally:
            requested_window.reset(token)


class CommandGroup(TyperGroup):
    """Lists commands in sections, each with its whole first sentence."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's. Raises InputError with the nearest name for a word that is no command."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise unknown_command(args[0], self, ctx, ctx.command_path)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """As typer's. Raises InputError for an option that the group has not."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                raise
            raise explained(error, self, ctx.command_path) from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                title = getattr(command, "rich_help_panel", None) or "Commands"
                sections.setdefault(title, []).append((name, first_sentence(command.help or "")))
        width = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


class MainGroup(CommandGroup):
    """Passes Ctrl-C and a closed pipe on to `main`; typer ends on them without a message, on the pipe with 1."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with translate_signals():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        with translate_signals():
            return super().invoke(*args, **kwargs)


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, in one line and without its full stop."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"\.(?:\s|$)", paragraph, maxsplit=1)[0]
