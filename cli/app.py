"""The `hindcast` command. Each module of this package that has a `register` function adds its own commands.

Modules import what is heavy inside their functions, so that `hindcast --help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

import typer

import cli
from ingest.errors import HindcastError

app = typer.Typer(
    name="hindcast",
    help="Explain a jump in the LLM bill, and replay your own traffic through other policies, offline.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _module in sorted(pkgutil.iter_modules(cli.__path__), key=lambda found: found.name):
    if _module.name not in ("app", "output"):
        _loaded = importlib.import_module(f"cli.{_module.name}")
        if hasattr(_loaded, "register"):
            _loaded.register(app)


class _WithoutPandas(MetaPathFinder, Loader):
    """Lets nothing import pandas into a command: pyarrow does at its first conversion, and a third of a second is gone.

    No command uses it, and what takes it as an option goes on without. The dashboard runs in a process of its own.
    """

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == "pandas" else None

    def create_module(self, spec: ModuleSpec) -> None:
        raise ModuleNotFoundError("pandas is kept out of commands", name=spec.name)

    def exec_module(self, module: Any) -> None: ...


def main() -> None:
    """Entry point: turns errors into one clear line on stderr and the right exit code."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    sys.meta_path.insert(0, _WithoutPandas())
    try:
        app()
    except HindcastError as error:
        if debug:
            raise
        print(f"hindcast: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        what = str(error).splitlines()[0] if str(error) else ""
        print(
            f"hindcast: a defect of this program: {type(error).__name__}: {what}\n"
            "The store is as it was before the command. The same command with --debug shows where it happened.",
            file=sys.stderr,
        )
        sys.exit(70)
    except KeyboardInterrupt:
        print("hindcast: interrupted; the store is sound. Run the same command again to go on.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
