"""The console command: forgets the working folder as a place of modules, then runs `cli.app`.

`PYTHONPATH=.` or an empty entry of it (`PYTHONPATH=:/opt/lib`) puts the working folder before the installed packages,
and its `analysis.py` or `duckdb.py` would be run. Processes that the command starts inherit the same.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]  # where the packages of this command lie


def forget_working_folder() -> None:
    """Leave the working folder out of `sys.path` and of `PYTHONPATH`, unless this command is installed there."""
    with suppress(OSError):  # a working folder that was removed holds no module
        folder = Path.cwd().resolve()
        if folder == HOME:
            return
        sys.path[:] = [entry for entry in sys.path if not _is_folder(entry, folder)]
        given = os.environ.get("PYTHONPATH")
        if given is not None:
            kept = [entry for entry in given.split(os.pathsep) if not _is_folder(entry, folder)]
            os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    os.environ["PYTHONSAFEPATH"] = "1"  # `python -m` and `python -c` would put it first again


def _is_folder(entry: str, folder: Path) -> bool:
    return Path(entry or ".").resolve() == folder


def main() -> None:
    """Entry point of `hindcast`."""
    forget_working_folder()
    from cli.app import main as run

    run()


if __name__ == "__main__":
    main()
