"""What an ingest into a lake is to read: the files that no commit knows as they are, cut into tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from ingest.places.open_place import open_place
from ingest.places.place import Place

TASK_BYTES: Final = 32 << 20  # of a task's part of the log, which goes on to the end of the line that stands there
MOST_FILES: Final = 2000  # of a task
_FETCHED: Final = 64 << 20  # bytes of an object that are held at once


class LogFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file or object of a log, as it was listed."""

    number: int  # in the order in which equal calls count as repeats
    logs: str  # address of the place it lies in; empty: a file of this machine
    name: str
    path: str  # as `sources` tells it
    size: int
    version: str  # what no two states of it share
    modified_us: int
    format: str | None  # None: every record is recognised by itself
    title: str  # the name of the format in `sources`
    shape: str
    split: bool  # into ranges of whole lines
    compressed: bool
    groups: list[int] = []  # of Parquet that is read by row groups: their bytes


class TaskPlan(msgspec.Struct, frozen=True):
    """A range of one file (bytes, or row groups where it has `groups`), or several whole files.

    `token` names what it makes: the same for the same input.
    """

    number: int
    files: list[int]
    start: int
    end: int
    token: str


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """How rows are read. `key` is the fingerprint of the key of hashed texts, never the key."""

    keep: str
    key: str = ""
    redact: list[str] | None = None
    zone: str = "UTC"
    mapping: str = ""  # the text of a mapping file


class Plan(msgspec.Struct, frozen=True):
    """All of an ingest's tasks; written once to the lake, so that no task carries it."""

    buckets: int
    rules: Rules
    files: list[LogFile]
    tasks: list[TaskPlan]

    def bytes_of(self, task: TaskPlan) -> int:
        """What a task reads."""
        groups = self.files[task.files[0]].groups
        return sum(groups[task.start : task.end]) if groups else task.end - task.start


def cut(files: Iterable[LogFile], rules: Rules, buckets: int, program: str, task_bytes: int = TASK_BYTES) -> Plan:
    """The plan in the order of the files: ranges of large ones, small ones together."""
    given = list(files)
    tasks: list[TaskPlan] = []

    def add(numbers: list[int], start: int, end: int) -> None:
        what = [
            [given[n].logs, given[n].name, given[n].version, given[n].size, given[n].title, given[n].shape]
            for n in numbers
        ]
        material = msgspec.json.encode([program, buckets, msgspec.to_builtins(rules), what, start, end])
        tasks.append(TaskPlan(len(tasks), numbers, start, end, hashlib.sha256(material).hexdigest()[:32]))

    for numbers in _together(given, task_bytes):
        first = given[numbers[0]]
        if len(numbers) == 1 and first.groups:
            for start, end in _ranges(first.groups, task_bytes):
                add(numbers, start, end)
            continue
        if len(numbers) > 1 or not first.split or first.size <= task_bytes:
            add(numbers, 0, sum(given[n].size for n in numbers))
            continue
        for start in range(0, first.size, task_bytes):
            add(numbers, start, min(start + task_bytes, first.size))
    return Plan(buckets, rules, given, tasks)


def _together(files: list[LogFile], task_bytes: int) -> Iterator[list[int]]:
    held: list[int] = []
    size = 0
    for place, file in enumerate(files):
        if held and (size + file.size > task_bytes or file.groups or len(held) >= MOST_FILES):
            yield held
            held, size = [], 0
        held.append(place)
        size += file.size
        if file.groups:
            yield held
            held, size = [], 0
    if held:
        yield held


def _ranges(groups: list[int], task_bytes: int) -> Iterator[tuple[int, int]]:
    start = size = 0
    for place, one in enumerate(groups):
        if place > start and size + one > task_bytes:
            yield start, place
            start, size = place, 0
        size += one
    yield start, len(groups)


def identity(plan: Plan, commit: int) -> str:
    """The name of a run: of its tasks, and of the commit that it goes on from."""
    material = msgspec.json.encode([[task.token for task in plan.tasks], [file.path for file in plan.files], commit])
    return hashlib.sha256(material).hexdigest()[:32]


def save(place: Place, run: str, plan: Plan) -> None:
    """Write the plan of a run."""
    place.write(f"run/{run}/plan.json", msgspec.json.encode(plan))


@lru_cache(maxsize=4)
def load(lake: str, run: str) -> Plan:
    """The plan of a run, read once in each process."""
    return msgspec.json.decode(open_place(lake).read(f"run/{run}/plan.json"), type=Plan)


def whole_lines(place: Place, name: str, size: int, start: int, end: int, limit: int) -> tuple[int, bytes]:
    """(offset, lines): the lines that begin from `start` up to `end`, each whole, or its first `limit` bytes."""
    data = place.read(name, max(start - 1, 0), end)
    if start:
        cut_at = data.find(b"\n")
        if cut_at < 0:
            return end, b""
        start, data = start + cut_at, data[cut_at + 1 :]
    parts, at, more = [data], end, len(data) > 0 and not data.endswith(b"\n")
    held = 0
    while more and at < size:
        block = place.read(name, at, min(at + (1 << 20), size))
        stop = block.find(b"\n")
        if held <= limit or stop >= 0:
            parts.append(block if stop < 0 else block[: stop + 1])
        held += len(block)
        at += len(block)
        more = stop < 0
    return start, b"".join(parts)


def local_path(file: LogFile, folder: Path) -> Path:
    """Where a file of a log is on this machine; an object is fetched into `folder`, under its own name."""
    if not file.logs:
        return Path(file.path)
    path = folder / file.name.lstrip("/")
    if ".." in Path(file.name).parts:
        path = folder / hashlib.sha256(file.name.encode()).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    place = open_place(file.logs)
    with path.open("wb") as out:
        for start in range(0, file.size, _FETCHED):
            out.write(place.read(file.name, start, min(start + _FETCHED, file.size)))
    return path
