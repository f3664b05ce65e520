"""What a parser process needs, imported once by the server that workers are forked from."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from ingest.pipeline.pandas_block import block_pandas

IS_PARSER = any("multiprocessing" in argument for argument in sys.orig_argv)  # not a process that imports this
_GONE = (EOFError, FileNotFoundError, ConnectionError)  # the pipes and semaphores of the program that asked for it


def _only_faults(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what a worker ends with, unless the program that it was started for has ended first (Ctrl-C, a kill)."""
    if not issubclass(kind, _GONE):
        sys.__excepthook__(kind, error, trace)


if IS_PARSER:
    sys.excepthook = _only_faults  # what a task raises goes to the program by another way
    block_pandas()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that turn around waiting for work

import pyarrow as pa  # noqa: E402

from ingest.formats import formats  # noqa: E402
from ingest.pipeline.tasks import run_task_whole  # noqa: E402, F401

formats()
if IS_PARSER:
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own gives pages back, to ask for them again at once
