"""What a parser process needs, imported once by the server that workers are forked from."""

from __future__ import annotations

from ingest.format import formats
from ingest.parsing import run_task_whole  # noqa: F401

formats()
