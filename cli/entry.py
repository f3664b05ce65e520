"""The console command: what must hold before anything else is imported, then `cli.app`.

Standard streams that the caller closed are opened on nothing, so that no file of the store gets their numbers. Ctrl-C
ends a command that has not begun at once, and one that has ended says nothing more. The working folder is forgotten as
a place of modules:

`PYTHONPATH=.` or an empty entry of it (`PYTHONPATH=:/opt/lib`) puts the working folder before the installed packages,
and its `analysis.py` or `duckdb.py` would be run. Processes that the command starts inherit the same.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

INTERRUPTED = 130
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


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    """Nothing was begun; an exception could be taken for a failure of the import that it falls into."""
    os.write(2, b"hindcast: interrupted; nothing was done.\n")
    os._exit(INTERRUPTED)


def _open_streams() -> bool:
    """Whether standard output was closed."""
    closed = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            closed.append(number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if number in closed or getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
        stream = getattr(sys, name)
        if not stream.encoding.lower().replace("-", "").startswith("utf"):
            stream.reconfigure(errors="backslashreplace")
    return 1 in closed


def main() -> None:
    """Entry point of `hindcast`: runs the command and exits with its code."""
    heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # as in the background of a shell
    if heard:
        signal.signal(signal.SIGINT, _end_at_once)
    closed = _open_streams()
    forget_working_folder()
    from cli import app
    from cli.terminal.output import note

    if closed:
        note("hindcast: standard output is closed; nothing was done\nSend it to a file, or to /dev/null.")
        sys.exit(2)
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app.main()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
