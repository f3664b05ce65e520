"""The way of a log into the store: find the files, tell their formats, parse them in workers, publish in order.

Parsing never holds the store. What is parsed waits as Parquet in a folder beside the store and is taken in by one
short transaction per publish, which also records how far each file has been read: after a kill the next run goes on
there, and calls that are in already are recognised by their identity.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, tzinfo
from pathlib import Path
from threading import Thread

import pyarrow as pa

from ingest.errors import InputError, StoreError
from ingest.formats import format_named
from ingest.pipeline import workers as processes
from ingest.pipeline.found_files import find_files
from ingest.pipeline.parse_rows import Task
from ingest.pipeline.report import IngestReport
from ingest.pipeline.task_plan import bytes_of, plan
from ingest.pipeline.tasks import run_task, run_task_whole
from ingest.progress import Progress
from ingest.staging.publish import publish
from ingest.staging.segment import ContentRules, Segment
from ingest.staging.source_files import SourceFile
from ingest.store.database import Store
from ingest.store.ingest_lock import IngestLock

AHEAD = 24  # tasks that may be parsed or waiting while a publish goes on; their tables wait on disk
PUBLISH_CALLS = 122_880  # one row group: smaller ones are written again and again
PUBLISH_BARE_CALLS = 2 * 122_880  # without contents: a fifth of the bytes, and no time but that of writing rows
PUBLISH_SEGMENTS = 200
LAST_CALLS = 61_440  # towards the end publishes become smaller, down to this: nothing is parsed during the last one
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_FULL_SIGNS = ("No space left", "File too large", "Disk quota exceeded")


def ingest(
    store: Store,
    paths: Iterable[str | Path],
    *,
    format: str | None = None,
    mapping: str | Path | None = None,
    text: bool = True,
    metadata_only: bool = False,
    hash_key: Path | None = None,
    redact: Sequence[str] | None = None,
    zone: tzinfo = UTC,
    workers: int | None = None,
    max_bad_ratio: float | None = None,
    progress: Progress | None = None,
    wait: float = 60.0,
    match_formats: bool = True,
    meanwhile: Callable[[], None] | None = None,
) -> IngestReport:
    """Read logs into the store. A file that cannot be used is told in `problems` and does not stop the others.

    `text=False` keeps keyed hashes of the messages in place of their texts, `metadata_only` keeps nothing of them,
    `match_formats=False` keeps calls that another format's log has too, where no shared id tells.
    `redact` masks built-in and given patterns before anything is stored. `meanwhile` is run in a thread once this
    process waits for those that parse, if it comes to that. Raises InputError if there is nothing to
    read at all, StoreError if the store cannot be written, GateError if more than `max_bad_ratio` of the rows are bad.
    """
    store.require_rewritable("reading logs in this way")
    chosen = None
    if mapping is not None:
        from ingest.mapping_file import load_mapping

        chosen = load_mapping(Path(mapping))
    forced = format_named(format) if format is not None else None
    rules = _rules(store, "none" if metadata_only else "text" if text else "hashes", hash_key, redact)
    report = IngestReport()
    with IngestLock(store.path, wait=wait) as lock:
        store.upgrade()
        found = find_files(paths, store, report, mapping=chosen, forced=forced)
        run = _Run(store, rules, lock, [source for source, _ in found], progress, match_formats, meanwhile)
        try:
            run.read(plan(found, rules, zone, chosen), workers)
        except OSError as error:
            if error.errno not in _FULL and not any(sign in str(error) for sign in _FULL_SIGNS):
                raise
            raise StoreError(
                f"the disk is full; {store.path} keeps everything published before", remedy="Free space and run again."
            ) from error
    _tell_files(report, run.sources)
    if max_bad_ratio is not None:
        report.check(max_bad_ratio)
    return report


def _rules(store: Store, keep: str, hash_key: Path | None, redact: Sequence[str] | None) -> ContentRules:
    if keep != "hashes" and redact is None:
        return ContentRules(keep)
    from ingest.contents.redaction import Redactor, load_key

    return ContentRules(
        keep=keep,
        hash_key=load_key(hash_key, store.path) if keep == "hashes" else None,
        redact=Redactor(tuple(redact)) if redact is not None else None,
    )


class _Run:
    """One ingest: the tasks that are parsed, and what they staged until it is published."""

    def __init__(
        self,
        store: Store,
        rules: ContentRules,
        lock: IngestLock,
        sources: list[SourceFile],
        progress: Progress | None,
        match_formats: bool,
        meanwhile: Callable[[], None] | None,
    ) -> None:
        self.store = store
        self.rules = rules
        self.lock = lock
        self.sources = sources
        self.progress = progress
        self.match_formats = match_formats
        self.meanwhile = meanwhile
        self.pending: list[Segment] = []
        self._pending_bytes = 0  # of the log
        self._left_bytes = 0  # to be read, or read and not taken over yet; 0 where nothing is parsed meanwhile

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, tasks: Iterator[Task], workers: int | None) -> None:
        """Parse the tasks, here or in `workers` processes, and publish what they stage."""
        size = sum(source.size - source.start for source in self.sources if source.mode != "unchanged")
        if self.progress:
            self.progress.total(size)
        count = processes.count(workers)
        if count > 1 and size >= processes.PARALLEL_BYTES:
            self._read_parallel(tasks, count, size)
        else:
            for task in tasks:
                for segment in run_task(task, self.rules, self.lock.folder):
                    self._staged(segment)
                self._task_done(task)
        self._publish()

    def _read_parallel(self, tasks: Iterator[Task], count: int, size: int) -> None:
        """Tasks run ahead of publishing, in the order of the files: by as many as are parsed during one publish."""
        self._left_bytes = size
        running: deque[tuple[Task, Future[list[Segment]]]] = deque()
        try:
            with processes.pool(count) as pool:
                for task in tasks:
                    with processes.starting():
                        future = pool.submit(run_task_whole, task, self.rules, self.lock.folder)
                    running.append((task, future))
                    held = any(piece.data is not None for piece in task.pieces)  # lines that wait in this process
                    while len(running) > (count + 2 if held else AHEAD):
                        self._collect(running)
                while running:
                    self._collect(running)
        except BrokenProcessPool as error:
            raise InputError(
                "a process that reads the logs was ended from outside, perhaps for want of memory",
                remedy="Everything published before is in the store. Go on in one process: hindcast ingest --workers 1",
            ) from error

    def _collect(self, running: deque[tuple[Task, Future[list[Segment]]]]) -> None:
        if self.meanwhile is not None:
            Thread(target=self.meanwhile, daemon=True).start()
            self.meanwhile = None
        task, future = running.popleft()
        found = future.result()
        size = bytes_of(task)
        self._left_bytes -= size
        self._pending_bytes += size
        for segment in found:
            self._staged(segment)
        self._task_done(task)

    def _task_done(self, task: Task) -> None:
        if self.progress:
            self.progress.advance(bytes_of(task))

    # -- publishing ------------------------------------------------------------------------------------------------

    def _staged(self, segment: Segment) -> None:
        if self.pending and self._is_printed(segment) and not self._is_printed(self.pending[-1]):
            self._publish()  # what sessions hold is looked up in the store
        self.pending.append(segment)
        calls = sum(one.calls for one in self.pending)
        if self.rules.keep == "none":
            enough = calls >= PUBLISH_BARE_CALLS
        else:
            ending = calls >= LAST_CALLS and self._pending_bytes >= self._left_bytes > 0
            enough = calls >= PUBLISH_CALLS or ending
        if len(self.pending) >= PUBLISH_SEGMENTS or enough:
            self._publish()

    def _is_printed(self, segment: Segment) -> bool:
        return any(self.sources[number].printed for number in segment.counts)

    def _publish(self) -> None:
        if not self.pending:
            return
        with _memory_at_hand(), self.store.write() as con:
            if self.store.publish_memory is not None:
                con.execute(f"SET memory_limit = '{self.store.publish_memory}'")
            publish(con, self.pending, self.sources, match_formats=self.match_formats)
        for segment in self.pending:
            self.lock.discard(segment.folder)
        self.pending = []
        self._pending_bytes = 0


def _tell_files(report: IngestReport, sources: Iterable[SourceFile]) -> None:
    for source in sources:
        report.files.append(source.report())
        if source.problem:
            report.problems.append(
                InputError(source.problem, where=str(source.path), remedy="Everything before that place was stored.")
            )


@contextmanager
def _memory_at_hand() -> Iterator[None]:
    """Arrow's own allocator gives pages back to ask for them again at once, which costs a sixth of a publish."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)
