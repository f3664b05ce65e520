"""What one worker does: from the pieces of a task to staged segments, without any connection to the store."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

from ingest.pipeline import parse_columns, parse_rows
from ingest.pipeline.parse_rows import Task
from ingest.staging.segment import ContentRules, Segment


def run_task(task: Task, rules: ContentRules, folder: Path) -> Iterator[Segment]:
    """Read the pieces and yield staged segments in order; a large piece yields several."""
    collecting = gc.isenabled()
    gc.disable()  # records are trees without cycles, and collecting among millions of them costs a fifth of the time
    try:
        by_columns = parse_columns.has_columns(task, rules)
        yield from (parse_columns if by_columns else parse_rows).read_task(task, rules, folder)
    finally:
        if collecting:
            gc.enable()


def run_task_whole(task: Task, rules: ContentRules, folder: Path) -> list[Segment]:
    """`run_task` for a worker process, in which nothing else makes cycles."""
    gc.disable()
    return list(run_task(task, rules, folder))
