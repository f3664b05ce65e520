"""Runs a job in a process of its own: the page stays quick, the server small, and Stop ends the work at once.

Parent and child exchange pickles over pipes: one request in; progress, then a result or an error, out. The child ends
by itself when the parent does. Both sides are this module, so nothing from elsewhere is ever unpickled.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

from analysis import time_zone
from dashboard.data.scope import Scope
from ingest import errors
from ingest.errors import HindcastError

TICK_S: Final = 0.25
NICENESS: Final = {"diagnosis": 10}  # started before anyone asks for it: the browser on this machine comes first
Tick = Callable[[list[Any]], None]


def run(
    job: str, store: Path, copy: Path, arguments: Mapping[str, Any], tick: Tick, *, scope: Scope | None = None
) -> Any:
    """The result of a job on the calls of `scope` in the store at `store`, which is only read; `copy` takes what must
    be added.

    `tick` is called four times a second with what was finished so far.

    Whatever `tick` raises ends the job's process at once. Raises the HindcastError that the job raised.
    """
    scope = scope or Scope()
    environment = {**os.environ, **({time_zone.VARIABLE: scope.zone} if scope.zone else {})}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "dashboard.data.job_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=environment,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            pickle.dump((job, store, copy, scope.where, dict(arguments)), child.stdin)
            child.stdin.flush()
            return _wait_for_result(child.stdout, tick)
        finally:
            child.kill()
            with contextlib.suppress(OSError):
                child.stdin.close()


def _wait_for_result(replies: IO[bytes], tick: Tick) -> Any:
    received: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(replies, received), daemon=True).start()
    finished: list[Any] = []
    while True:
        try:
            kind, value = received.get(timeout=TICK_S)
        except queue.Empty:
            kind, value = "", None
        if kind == "result":
            return value
        if kind == "error":
            name, what, where, remedy = value
            raise getattr(errors, name, HindcastError)(what, where=where, remedy=remedy)
        if kind == "closed":
            raise HindcastError(
                "the work ended without a result",
                remedy="Look at the output of `hindcast dashboard`; a smaller window of days needs less memory.",
            )
        if kind == "step":
            finished.append(value)
        tick(finished)


def _receive(replies: IO[bytes], received: queue.SimpleQueue[tuple[str, Any]]) -> None:
    with contextlib.suppress(EOFError, OSError, ValueError, pickle.UnpicklingError):
        while True:
            received.put(pickle.load(replies))  # noqa: S301  from our own child
    received.put(("closed", None))


def main() -> None:
    """The child: one job, then out."""
    request, replies = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no reply
    job, store, copy, where, arguments = pickle.load(request)  # noqa: S301  from our own parent

    def exit_with_parent() -> None:
        while os.read(request.fileno(), 1):
            pass
        os._exit(0)

    threading.Thread(target=exit_with_parent, daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS.get(job, 0))

    def reply(kind: str, value: Any) -> None:
        pickle.dump((kind, value), replies)
        replies.flush()

    from analysis.reports.filtered_store import filtered
    from dashboard.data.jobs import JOBS, copy_on_write

    try:
        chosen = filtered(copy_on_write(store, copy), where)
        reply("result", JOBS[job](chosen, **arguments, report=lambda text: reply("step", text)))
    except HindcastError as error:
        reply("error", (type(error).__name__, error.what, error.where, error.remedy))
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(0)  # the thread that waits for the parent would keep it alive


if __name__ == "__main__":
    main()
