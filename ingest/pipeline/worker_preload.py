"""What a parser process needs, imported once by the server that workers are forked from."""

from __future__ import annotations

import os
import sys
from typing import Any


class _WithoutPandas:
    """Keeps pandas out, which pyarrow imports at its first array to ask whether a list is a series: 0.3 s."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is kept out of the parsers", name=name)


if any("multiprocessing" in argument for argument in sys.orig_argv):  # a process of ours, not one that imports this
    sys.meta_path.insert(0, _WithoutPandas)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that turn around waiting for work

import pyarrow as pa  # noqa: E402

from ingest.formats import formats  # noqa: E402
from ingest.pipeline.tasks import run_task_whole  # noqa: E402, F401

formats()
if sys.meta_path and sys.meta_path[0] is _WithoutPandas:
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own gives pages back, to ask for them again at once
