"""What a parser process needs, imported once by the server that workers are forked from."""

from __future__ import annotations

import os
import sys

from ingest.pipeline.pandas_block import block_pandas

IS_PARSER = any("multiprocessing" in argument for argument in sys.orig_argv)  # not a process that imports this
if IS_PARSER:
    block_pandas()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that turn around waiting for work

import pyarrow as pa  # noqa: E402

from ingest.formats import formats  # noqa: E402
from ingest.pipeline.tasks import run_task_whole  # noqa: E402, F401

formats()
if IS_PARSER:
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own gives pages back, to ask for them again at once
