"""The `hindcast` command. Each module of this package that has a `register` function adds its own commands.

Modules import what is heavy inside their functions, so that `hindcast --help` answers at once.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_name

import cli
from cli.terminal.output import note
from ingest.errors import HindcastError

# most commands are over before a collection would find anything: imports are faster with fewer of them
gc.set_threshold(100_000, 50, 100)


class _InterruptedError(Exception):
    """Ctrl-C during a command."""


class _UnreadError(Exception):
    """The reader of our output went away, as `| head` does."""


@contextmanager
def _heard() -> Iterator[None]:
    try:
        try:
            yield
        finally:  # what is still to be written fails here, where it can be told from a defect
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        raise _InterruptedError from error
    except BrokenPipeError as error:
        if not _reader_is_gone():  # another pipe, such as that to a worker
            raise RuntimeError(str(error)) from error
        raise _UnreadError from error
    except Exception as error:
        if _interrupted(error):
            raise _InterruptedError from error
        raise


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: DuckDB takes the signal during a query and raises errors of its own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "InterruptException":
            return True
        if isinstance(error, RuntimeError) and str(error) == "Query interrupted":
            return True
        error = error.__cause__
    return False


class _Commands(TyperGroup):
    """Lets Ctrl-C and a closed pipe through to `main`; typer itself ends on them without a word, the pipe with 1."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _heard():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        with _heard():
            return super().invoke(*args, **kwargs)


def _reader_is_gone() -> bool:
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


app = typer.Typer(
    name="hindcast",
    cls=_Commands,
    help="Explain a jump in the LLM bill, and replay your own traffic through other policies, offline.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _module in pkgutil.walk_packages(cli.__path__, "cli."):
    if _module.name.count(".") == 2 and not _module.name.startswith("cli.python_api."):  # cli.GROUP.COMMAND
        _loaded = importlib.import_module(_module.name)
        if hasattr(_loaded, "register"):
            _loaded.register(app)


class _WithoutPandas:
    """Lets nothing import pandas into a command: pyarrow does at its first conversion, and a third of a second is gone.

    No command uses it, and what takes it as an option goes on without. The dashboard runs in a process of its own.
    """

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        loader: Any = self
        return ModuleSpec(fullname, loader) if fullname == "pandas" else None

    def create_module(self, spec: ModuleSpec) -> None:
        raise ModuleNotFoundError("pandas is kept out of commands", name=spec.name)

    def exec_module(self, module: Any) -> None: ...


@contextmanager
def _only(name: str) -> Iterator[None]:
    """Without the other commands: reading the options of all takes 30 ms. An unknown name keeps them, for the error."""
    everything = app.registered_commands, app.registered_groups
    commands = [found for found in app.registered_commands if _name(found) == name]
    groups = [found for found in app.registered_groups if found.name == name]
    if commands or groups:
        app.registered_commands, app.registered_groups = commands, groups
    try:
        yield
    finally:
        app.registered_commands, app.registered_groups = everything


def _name(command: Any) -> str:
    return command.name or get_command_name(command.callback.__name__)


def main() -> None:
    """Entry point: turns errors into one clear line on stderr and the right exit code."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    sys.meta_path.insert(0, _WithoutPandas())
    try:
        with _only(sys.argv[1] if len(sys.argv) > 1 else ""):
            app()
    except HindcastError as error:
        if debug:
            raise
        note(f"hindcast: {error}")
        sys.exit(error.exit_code)
    except _UnreadError:  # what was asked for has been read: no failure, and no gate that failed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (_InterruptedError, KeyboardInterrupt):
        with suppress(BrokenPipeError):
            note("hindcast: interrupted; the store is sound. Run the same command again to go on.")
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        what = str(error).splitlines()[0] if str(error) else ""
        note(
            f"hindcast: a defect of this program: {type(error).__name__}: {what}\n"
            "The store is as it was before the command. The same command with --debug shows where it happened."
        )
        sys.exit(70)


if __name__ == "__main__":
    main()
