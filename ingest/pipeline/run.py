"""The way of a log into the store: find the files, tell their formats, parse them in workers, publish in order.

Parsing never holds the store. What is parsed waits as Parquet in a folder beside the store and is taken in by one
short transaction per publish, which also records how far each file has been read: after a kill the next run goes on
there, and calls that are in already are recognised by their identity.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa

from ingest.detect.file_format import Recognised, recognise
from ingest.errors import GateError, HindcastError, InputError, StoreError
from ingest.files import line_files
from ingest.files.byte_stream import BLOCK, StreamCutError, open_file
from ingest.files.folders import files_below
from ingest.format_contract import Context, Format
from ingest.formats import format_named
from ingest.pipeline import workers as processes
from ingest.pipeline.parse_rows import RANGE_BYTES, Piece, Task
from ingest.pipeline.tasks import run_task, run_task_whole
from ingest.progress import Progress
from ingest.records.claimed_usage import UNREAD, claimed_in_bytes
from ingest.staging.batch import USAGE_REPORT, ContentRules, Segment
from ingest.staging.printed_runs import is_printed
from ingest.staging.publish import publish
from ingest.staging.source_files import SourceFile, compare, fingerprint, recall_unchanged
from ingest.store.database import Store
from ingest.store.ingest_lock import IngestLock

TASK_BYTES = RANGE_BYTES
AHEAD = 24  # tasks that may be parsed or waiting while a publish goes on; their tables wait on disk
PUBLISH_CALLS = 122_880  # one row group: smaller ones are written again and again
PUBLISH_BARE_CALLS = 2 * 122_880  # without contents: a fifth of the bytes, and no time but that of writing rows
PUBLISH_SEGMENTS = 200
LAST_CALLS = 61_440  # towards the end publishes become smaller, down to this: nothing is parsed during the last one
_PEEK = 1 << 16  # of a file that is passed over
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_FULL_SIGNS = ("No space left", "File too large", "Disk quota exceeded")


@dataclass
class IngestReport:
    """What an ingest did. `rows = calls + duplicates + quarantined + skipped`, in total and for each file."""

    files: list[dict[str, Any]] = field(default_factory=list)
    problems: list[HindcastError] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)  # files of a folder that are no logs
    hidden: list[str] = field(default_factory=list)  # files and folders of a folder that were not looked at
    passed_over_usage: list[str] = field(default_factory=list)  # of those, the ones that name usage nevertheless

    def _sum(self, name: str) -> int:
        return sum(file[name] for file in self.files)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return self._sum("rows")

    @property
    def calls(self) -> int:
        """Calls that are new in the store."""
        return self._sum("calls")

    @property
    def duplicates(self) -> int:
        """Rows whose call was known already."""
        return self._sum("duplicates")

    @property
    def quarantined(self) -> int:
        """Rows that could not be used."""
        return self._sum("quarantined")

    @property
    def skipped(self) -> int:
        """Rows that are no calls."""
        return sum(sum(file["skipped"].values()) for file in self.files)

    @property
    def left_out(self) -> dict[str, int]:
        """Rows that name usage and became no call, and the tokens and pico-dollars that they name."""
        found = {"rows": 0, "tokens": 0, "cost_pico": 0}
        for file in self.files:
            for lost in file["left_out"]:
                found["rows"] += lost["rows"]
                found["tokens"] += lost["tokens"]
                found["cost_pico"] += int(Decimal(lost["logged_cost_usd"]).scaleb(12))
        return found

    @property
    def ambiguous(self) -> int:
        """Calls whose counts can be read in two ways and have no price."""
        return sum(file["flagged"].get("ambiguous_usage", 0) for file in self.files)

    @property
    def unread(self) -> int:
        """Calls whose own fields name token counts that were not read."""
        return sum(file["flagged"].get(UNREAD, 0) for file in self.files)

    @property
    def empty_files(self) -> list[str]:
        """Files with rows of which none is a call or a row of a usage report."""
        return [
            file["path"]
            for file in self.files
            if file["rows"] and not file["calls"] + file["duplicates"] and USAGE_REPORT not in file["skipped"]
        ]

    def check_strict(self) -> None:
        """Raise GateError if a row or file with usage was not read, a call is ambiguous, or nothing at all is one."""
        lost, faults = self.left_out, []
        if lost["rows"]:
            faults.append(f"{lost['rows']:,} rows with usage were not read ({lost['tokens']:,} tokens)")
        if self.passed_over_usage:
            faults.append(
                f"{len(self.passed_over_usage):,} files with usage are of no known format: {self.passed_over_usage[0]}"
            )
        if self.ambiguous:
            faults.append(f"the tokens of {self.ambiguous:,} calls can be read in two ways")
        if self.unread:
            faults.append(f"the tokens of {self.unread:,} calls stand under names that are not known")
        if self.files and len(self.empty_files) == len(self.files):
            faults.append("no row is a call")
        if faults:
            raise GateError(
                f"--strict: {'; '.join(faults)}",
                remedy="Everything usable was stored. --json lists `left_out` and `flagged` for each file.",
            )

    def check(self, max_bad_ratio: float) -> None:
        """Raise GateError if more than this share of the rows was unusable."""
        if self.rows and self.quarantined > max_bad_ratio * self.rows:
            raise GateError(
                f"{self.quarantined:,} of {self.rows:,} rows were unusable, above --max-bad-ratio {max_bad_ratio}",
                remedy="See why: hindcast ingest --explain FILE; everything usable was stored.",
            )

    def to_json(self) -> dict[str, Any]:
        """The report as the command prints it with --json."""
        return {
            "calls": self.calls,
            "duplicates": self.duplicates,
            "quarantined": self.quarantined,
            "logged_elsewhere": self._sum("logged_elsewhere"),
            "skipped": self.skipped,
            "rows": self.rows,
            "left_out": {
                "rows": self.left_out["rows"],
                "tokens": self.left_out["tokens"],
                "logged_cost_usd": f"{Decimal(self.left_out['cost_pico']).scaleb(-12):f}",
            },
            "ambiguous": self.ambiguous,
            "usage_not_read": self.unread,
            "empty_files": self.empty_files,
            "files": self.files,
            "passed_over": self.passed_over,
            "passed_over_usage": self.passed_over_usage,
            "hidden": self.hidden,
            "problems": [str(problem) for problem in self.problems],
        }


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
    chosen = None
    if mapping is not None:
        from ingest.mapping_file import load_mapping

        chosen = load_mapping(Path(mapping))
    forced = format_named(format) if format is not None else None
    rules = _rules(store, "none" if metadata_only else "text" if text else "hashes", hash_key, redact)
    report = IngestReport()
    with IngestLock(store.path, wait=wait) as lock:
        run = _Run(store, rules, lock, zone, chosen, forced, report, progress)
        run.match_formats = match_formats
        run.meanwhile = meanwhile
        store.upgrade()
        run.find(paths)
        try:
            run.read(workers)
        except OSError as error:
            if error.errno not in _FULL and not any(sign in str(error) for sign in _FULL_SIGNS):
                raise
            raise StoreError(
                f"the disk is full; {store.path} keeps everything published before", remedy="Free space and run again."
            ) from error
        run.finish()
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
    """One ingest: the files it found, the tasks they make, and the publishing."""

    def __init__(
        self,
        store: Store,
        rules: ContentRules,
        lock: IngestLock,
        zone: tzinfo,
        mapping: Any,
        forced: Format | None,
        report: IngestReport,
        progress: Progress | None,
    ) -> None:
        self.store = store
        self.rules = rules
        self.lock = lock
        self.zone = zone
        self.mapping = mapping
        self.forced = forced
        self.report = report
        self.progress = progress
        self.sources: list[SourceFile] = []
        self.known: list[Recognised] = []
        self.pending: list[Segment] = []
        self._pending_bytes = 0  # of the log
        self._left_bytes = 0  # to be read, or read and not taken over yet; 0 where nothing is parsed meanwhile
        self.match_formats = True
        self.meanwhile: Callable[[], None] | None = None

    # -- what there is ---------------------------------------------------------------------------------------------

    def find(self, paths: Iterable[str | Path]) -> None:
        """Recognise every file. A named file that cannot be used is a problem; in a folder it is passed over."""
        found = 0
        for path, named in _files(paths, self.report):
            found += 1
            problem: InputError
            try:
                self._add(path)
                continue
            except InputError as error:
                problem = error
            except OSError as error:
                problem = InputError(f"cannot be read: {error.strerror}", where=str(path))
            except (RuntimeError, ValueError) as error:  # a loop of links, a name that no file can have
                problem = InputError(f"cannot be read: {error}", where=str(path))
            if named:
                self.report.problems.append(problem)
            else:
                self.report.passed_over.append(str(problem).splitlines()[0])
                if _names_usage(path):
                    self.report.passed_over_usage.append(str(path))
        if not self.sources:
            if len(self.report.problems) == 1:
                raise self.report.problems[0]
            if self.report.problems:
                lines = [str(problem).splitlines()[0] for problem in self.report.problems]
                more = f" (and {len(lines) - 1} more like it)" if len(lines) > 1 else ""
                raise InputError(f"none of the files can be used: {lines[0]}{more}")
            raise InputError(
                ("no log was recognised" if found else "no file was found")
                + (f"; hidden and not read: {_some(self.report.hidden)}" if self.report.hidden else ""),
                remedy="Name the files, or describe their fields: hindcast mapping init FILE",
            )
        order = sorted(range(len(self.sources)), key=lambda number: self.sources[number].printed)
        self.known = [self.known[number] for number in order]
        self.sources = [replace(self.sources[number], number=place) for place, number in enumerate(order)]
        if self.store.exists():
            with self.store.read() as con:
                for source, known in zip(self.sources, self.known, strict=True):
                    compare(con, source, splittable=known.splittable)
                recall_unchanged(con, self.sources)

    def _add(self, path: Path) -> None:
        known = recognise(path, mapping=self.mapping, forced=self.forced)
        stat = path.stat()
        number = len(self.sources)
        name = Path(os.path.realpath(path))
        self.sources.append(
            SourceFile(number, name, known.name, stat.st_size, stat.st_mtime_ns, fingerprint(path, stat.st_size))
        )
        self.known.append(known)
        with open_file(path) as handle:
            self.sources[-1].printed = is_printed(known.name, handle.read(_PEEK))

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, workers: int | None) -> None:
        size = sum(source.size - source.start for source in self.sources if source.mode != "unchanged")
        if self.progress:
            self.progress.total(size)
        count = processes.count(workers)
        if count > 1 and size >= processes.PARALLEL_BYTES:
            self._read_parallel(count, size)
        else:
            for task in self._tasks():
                for segment in run_task(task, self.rules, self.lock.folder):
                    self._staged(segment)
                self._task_done(task)
        self._publish()

    def _read_parallel(self, count: int, size: int) -> None:
        """Tasks run ahead of publishing, in the order of the files: by as many as are parsed during one publish."""
        self._left_bytes = size
        running: deque[tuple[Task, Future[list[Segment]]]] = deque()
        try:
            with processes.pool(count) as pool:
                for task in self._tasks():
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
        size = _task_bytes(task)
        self._left_bytes -= size
        self._pending_bytes += size
        for segment in found:
            self._staged(segment)
        self._task_done(task)

    def _task_done(self, task: Task) -> None:
        if self.progress:
            self.progress.advance(_task_bytes(task))

    def _tasks(self) -> Iterator[Task]:
        """Small files share a task; large splittable ones make several."""
        task = Task(0)
        held = 0
        for source, known in zip(self.sources, self.known, strict=True):
            if source.mode == "unchanged":
                continue
            if source.start:
                source.replay_lines(self.rules.hash_key if self.rules.keep == "hashes" else None)
            for piece, size in self._pieces(source, known):
                before = self.sources[task.pieces[0].source] if task.pieces else source
                mixed = (before.format, before.printed) != (source.format, source.printed)
                if held and (held + size > TASK_BYTES or mixed):
                    yield task
                    task, held = Task(task.number + 1), 0
                task.pieces.append(piece)
                held += size
        if task.pieces:
            yield task

    def _pieces(self, source: SourceFile, known: Recognised) -> Iterator[tuple[Piece, int]]:
        context = Context(source.path, self.zone, self.rules.keep != "none", source.mtime_ns // 1000, self.mapping)
        base = Piece(source.number, source.path, known.format, known.shape, context, start=source.start)
        remaining = source.size - source.start
        if not known.splittable:
            yield base, remaining
        elif not known.compressed:
            for start, end in _ranges(source.path, source.start, source.size):
                yield replace(base, start=start, end=end, last=end >= source.size), end - start
        else:
            yield from self._compressed_pieces(base, source)

    def _compressed_pieces(self, base: Piece, source: SourceFile) -> Iterator[tuple[Piece, int]]:
        """Decompression happens here, once; the lines go to the workers."""
        previous: Piece | None = None
        try:
            for offset, data, end in line_files.line_chunks(source.path, TASK_BYTES, source.start):
                if previous is not None:
                    yield previous, len(previous.data or b"")
                previous = replace(base, start=offset, end=end, data=data, last=False)
            cut = None
        except StreamCutError as error:
            cut = str(error)
        if previous is None:
            previous = replace(base, start=source.start, data=b"")
        yield replace(previous, last=True, cut=cut), len(previous.data or b"")

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

    def finish(self) -> None:
        for source in self.sources:
            self.report.files.append(source.report())
            if source.problem:
                self.report.problems.append(
                    InputError(
                        source.problem, where=str(source.path), remedy="Everything before that place was stored."
                    )
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


def _task_bytes(task: Task) -> int:
    """How much of the log a task reads."""
    total = 0
    for piece in task.pieces:
        whole = piece.path.stat().st_size if piece.data is None and piece.end is None else 0
        total += whole or len(piece.data or b"") or (piece.end or 0) - piece.start
    return total


def _some(paths: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return ", ".join(Path(path).name for path in paths[:3]) + more


def _names_usage(path: Path) -> bool:
    """Whether the beginning of a file that is no log names tokens or dollars that were used."""
    try:
        with open_file(path) as handle:
            return any(claimed_in_bytes(handle.read(_PEEK)))
    except OSError:
        return False


def _files(paths: Iterable[str | Path], report: IngestReport) -> Iterator[tuple[Path, bool]]:
    """(file, whether it was named itself), folders walked in order of name; what is hidden in them is told."""
    seen = set()
    for given in paths:
        path = Path(given).expanduser()
        try:
            folder = path.is_dir()
        except OSError as error:
            report.problems.append(InputError(f"cannot be read: {error.strerror}", where=str(path)))
            continue
        inside = [path]
        if folder:
            inside, hidden = files_below(path)
            report.hidden.extend(map(str, hidden))
        for found in inside:
            real = os.path.realpath(found)  # unlike Path.resolve, also where links go round in a circle
            if real not in seen:
                seen.add(real)
                yield found, not folder


def _ranges(path: Path, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Byte ranges of whole lines, about TASK_BYTES each, that together cover start..size."""
    if start >= size:
        yield size, size
        return
    with open_file(path) as handle:
        while start < size:
            end = min(start + TASK_BYTES, size)
            if end < size:
                handle.seek(end)
                while end < size and (block := handle.read(BLOCK)):
                    line_end = block.find(b"\n") + 1
                    end = min(size, end + (line_end or len(block)))
                    if line_end:
                        break
            yield start, end
            start = end
