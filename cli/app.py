"""The `hindcast` command. Each module of `cli/<group>/` that has a `register` function adds its own commands.

Modules import what is heavy inside their functions, so that `hindcast --help` answers at once.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer
from typer.main import get_command_name

from cli.terminal.commands import Command, CommandGroup, InterruptedByUser, MainGroup, OutputClosed
from cli.terminal.output import OutputFailedError, note
from ingest.errors import HindcastError
from ingest.pipeline.pandas_block import block_pandas

# most commands are over before a collection would find anything: imports are faster with fewer of them
gc.set_threshold(100_000, 50, 100)

GROUPS = ("logs", "costs", "policies", "savings", "monitoring", "share")  # in the order of the help; each has a TITLE

app = typer.Typer(
    name="hindcast",
    cls=MainGroup,
    help="Explain a jump in the LLM bill, and replay your own traffic through other policies, offline.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _register(group: str) -> None:
    """Add the commands of the modules of `cli.<group>`, in a section of the help of their own."""
    package = importlib.import_module(f"cli.{group}")
    known = len(app.registered_commands), len(app.registered_groups)
    for found in pkgutil.iter_modules(package.__path__, f"cli.{group}."):
        module = importlib.import_module(found.name)
        if hasattr(module, "register"):
            module.register(app)
    added: list[Any] = [*app.registered_commands[known[0] :], *app.registered_groups[known[1] :]]
    for one in added:
        one.rich_help_panel = package.TITLE
    _use_command_classes(app)


def _use_command_classes(group: typer.Typer) -> None:
    for command in group.registered_commands:
        command.cls = Command
    for nested in group.registered_groups:
        if nested.typer_instance is not None:
            nested.cls = CommandGroup
            _use_command_classes(nested.typer_instance)


for _group in GROUPS:
    _register(_group)


@contextmanager
def _only(words: Sequence[str]) -> Iterator[None]:
    """Without the other commands: reading the options of all takes 30 ms. An unknown name keeps them, for the error."""
    everything = app.registered_commands, app.registered_groups
    name = words[0] if words else ""
    commands = [found for found in app.registered_commands if _name(found) == name]
    groups = [found for found in app.registered_groups if found.name == name]
    if commands or groups or (not words and not _completing()):
        app.registered_commands, app.registered_groups = commands, groups
    try:
        yield
    finally:
        app.registered_commands, app.registered_groups = everything


def _completing() -> bool:
    """Whether a shell asks what could come next."""
    return any(name.endswith("_COMPLETE") for name in os.environ)


def _name(command: Any) -> str:
    return command.name or get_command_name(command.callback.__name__)


def main() -> None:
    """Entry point: turns errors into one clear line on stderr and the right exit code."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    if sys.argv[1:2] == ["help"]:  # as `git help cost`
        sys.argv[1:] = [*sys.argv[2:], "--help"]
    elif sys.argv[1:] == ["version"]:
        sys.argv[1:] = ["--version"]
    block_pandas()  # no command uses it, and the dashboard runs in a process of its own
    try:
        with _only(sys.argv[1:]):
            app()
    except HindcastError as error:
        if debug:
            raise
        note(f"hindcast: {error}")
        if isinstance(error, OutputFailedError):
            _discard_output()
        sys.exit(error.exit_code)
    except OutputClosed:  # what was asked for has been read: no failure, and no gate that failed
        _discard_output()
        sys.exit(0)
    except (InterruptedByUser, KeyboardInterrupt):
        with suppress(BrokenPipeError):
            note("hindcast: interrupted; the store is sound. Run the same command again to go on.")
        sys.exit(130)
    except OSError as error:  # of the machine, not of the program: a file that cannot be read or written
        if debug:
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        note(f"hindcast: {where}{error.strerror or error}")
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        what = str(error).splitlines()[0] if str(error) else ""
        note(
            f"hindcast: internal error: {type(error).__name__}: {what}\n"
            "What had been stored before is whole. The same command with --debug shows where it happened."
        )
        sys.exit(70)


def _discard_output() -> None:
    """What cannot be written any more must not fail once more when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
