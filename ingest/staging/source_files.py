"""The files that were read: how far, with what counts, and whether a file that comes again has anything new."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.files import line_files
from ingest.files.byte_stream import open_file
from ingest.files.databases import write_ahead_log
from ingest.records.call import Claimed
from ingest.records.call_identity import key_of_line
from ingest.staging.segment import FileCounts, LeftOut, without_values
from ingest.store.database import has_tables

_EDGE = 1 << 16
_EXAMPLES = 5
_COUNTED = pa.schema(
    {
        "source_id": pa.int32(), "format": pa.string(), "fingerprint": pa.string(), "size_bytes": pa.int64(),
        "rows": pa.int64(), "calls": pa.int64(), "duplicates": pa.int64(), "quarantined": pa.int64(),
        "skipped": pa.int64(), "byte_offset": pa.int64(), "complete": pa.bool_(),
    }
)  # fmt: skip


@dataclass
class SourceFile:
    """A file of this run. The counts are of this run; `prior_*` are what the store already knew of the file."""

    number: int
    path: Path
    format: str
    size: int
    mtime_ns: int
    fingerprint: str
    source_id: int | None = None
    mode: str = "new"  # new, resume (go on at `start`), reread (from the beginning), unchanged
    start: int = 0
    rows: int = 0
    calls: int = 0
    duplicates: int = 0
    elsewhere: int = 0  # of the duplicates, those of calls stored under another key
    quarantined: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    left_out: dict[tuple[str, str], LeftOut] = field(default_factory=dict)  # by kind (skipped, unusable) and reason
    flagged: Counter[str] = field(default_factory=Counter)  # remarks on calls, by code
    row_base: int = 0  # lines before the next piece, whose rows count from its own beginning
    end_offset: int = 0
    complete: bool = False
    problem: str | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)  # the first rows that could not be used
    prior: dict[str, int] = field(default_factory=dict)
    printed: bool = False  # what a tool printed of a run, read after the logs of sessions
    unfinished: bool = False  # when last read, the file's last line had no end
    url: str | None = None  # of an object of a store: a path would lose one of its slashes
    _seen: Any = None  # 64-bit hashes of the identity-less rows read so far, sorted
    _repeats: dict[int, int] = field(default_factory=dict)  # of those met more than once, how often

    @property
    def path_text(self) -> str:
        """Where it lies, as `sources` tells it."""
        return self.url or str(self.path)

    def count(self, counts: FileCounts) -> None:
        """Add the counts of a published segment. Its calls are duplicates until `found_new` says how many are not."""
        self.rows += counts.rows
        self.duplicates += counts.duplicates + counts.calls
        self.quarantined += len(counts.quarantined)
        for bad in counts.quarantined[: _EXAMPLES - len(self.examples)]:
            self.examples.append({"row": self.row_base + bad.row, "reason": bad.reason, "json_path": bad.path})
        for reason, number in counts.skipped.items():
            self.skipped[reason] = self.skipped.get(reason, 0) + number
        for kind, reason, _, lost in left_out_of(counts):
            self._lose(kind, reason, lost)
        self.flagged.update(counts.flagged)
        self.row_base += counts.lines
        self.problem = self.problem or counts.problem
        if counts.end_offset is not None:
            self.end_offset = counts.end_offset
            self.complete = counts.complete

    def _lose(self, kind: str, reason: str, lost: LeftOut) -> None:
        found = self.left_out.setdefault((kind, reason), LeftOut())
        found.add(Claimed(lost.tokens, lost.cost_pico), lost.rows)

    def found_new(self, calls: int) -> None:
        """So many of the calls counted were not in the store."""
        self.calls += calls
        self.duplicates -= calls

    def counts(self) -> dict[str, Any]:
        """The file's row in `sources`: `rows = calls + duplicates + quarantined + skipped` on every way."""
        before = self.prior
        carried = before if self.start else {}
        calls = self.calls + before.get("calls", 0)
        quarantined = self.quarantined + carried.get("quarantined", 0)
        skipped = sum(self.skipped.values()) + carried.get("skipped", 0)
        rows = self.rows + carried.get("rows", 0)
        return {
            "source_id": self.source_id,
            "format": self.format,
            "fingerprint": self.fingerprint,
            "size_bytes": self.size,
            "rows": rows,
            "calls": calls,
            "duplicates": max(0, rows - calls - quarantined - skipped),
            "quarantined": quarantined,
            "skipped": skipped,
            "byte_offset": self.end_offset,
            "complete": self.complete,
        }

    def report(self) -> dict[str, Any]:
        """This run's counts, for people and programs. An unchanged file repeats its known rows as duplicates."""
        prior = self.prior if self.mode == "unchanged" else {}
        skipped = self.skipped or ({"as before": prior["skipped"]} if prior.get("skipped") else {})
        return {
            "path": self.path_text,
            "format": self.format,
            "rows": self.rows + prior.get("rows", 0),
            "calls": self.calls,
            "duplicates": self.duplicates + prior.get("calls", 0) + prior.get("duplicates", 0),
            "quarantined": self.quarantined + prior.get("quarantined", 0),
            "skipped": dict(sorted(skipped.items())),
            "left_out": [
                {
                    "kind": kind,
                    "reason": reason,
                    "rows": lost.rows,
                    "tokens": lost.tokens,
                    "logged_cost_usd": f"{Decimal(lost.cost_pico).scaleb(-12):f}",
                }
                for (kind, reason), lost in sorted(self.left_out.items())
            ],
            "flagged": dict(sorted(self.flagged.items())),
            "logged_elsewhere": self.elsewhere,
            "unchanged": self.mode == "unchanged",
            "bad_rows": self.examples,
        }

    def occurrences(self, rows: Any, hashes: Any) -> Iterator[tuple[int, int]]:
        """(row, how many equal rows came before it in this file) for those of `rows` that repeat an earlier one."""
        if self._seen is None:
            self._seen = np.empty(0, dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        ranked = hashes[order]
        again = np.zeros(len(rows), dtype=bool)
        again[order[1:]] = ranked[1:] == ranked[:-1]
        again |= np.isin(hashes, self._seen)
        for position in np.flatnonzero(again).tolist():
            value = int(hashes[position])
            count = self._repeats.get(value, 0) + 1
            self._repeats[value] = count
            yield int(rows[position]), count
        self._seen = np.union1d(self._seen, hashes)

    def replay_lines(self, key: bytes | None) -> None:
        """Bring row numbers and line occurrences up to `start`, for a file that goes on in its middle."""
        for _, data, _ in line_files.line_chunks(self.path, 8 << 20, 0, stop=self.start):
            self.row_base += data.count(b"\n")
            lines = [line for line in data.split(b"\n") if line and not line.isspace()]
            digests = b"".join([key_of_line(line, 0, key)[8:16] for line in lines])
            hashes = np.frombuffer(digests, ">u8").astype(np.uint64)
            for _ in self.occurrences(np.arange(len(hashes)), hashes):
                pass


def left_out_of(counts: FileCounts) -> Iterator[tuple[str, str, int | None, LeftOut]]:
    """(kind, reason, byte offset, what was lost) of the rows with usage that became no call."""
    for reason, lost in counts.left_out.items():
        yield "skipped", reason, None, lost
    for bad in counts.quarantined:
        if any(bad.claims):
            yield "unusable", without_values(bad.reason), bad.offset, LeftOut(1, *bad.claims)


def recall_unchanged(con: duckdb.DuckDBPyConnection, files: Sequence[SourceFile]) -> None:
    """Give files that are not read again what was left out of them, and flagged, when they were."""
    known = {file.source_id: file for file in files if file.mode == "unchanged"}
    if not known:
        return
    con.register("unchanged_files", pa.table({"source_id": pa.array(list(known), pa.int32())}))
    if has_tables(con, "left_out"):
        for source_id, kind, reason, rows, tokens, cost in con.execute(
            """SELECT source_id, kind, reason, sum(rows), sum(tokens), sum(cost_pico)
                 FROM left_out JOIN unchanged_files USING (source_id) GROUP BY ALL ORDER BY ALL"""
        ).fetchall():
            known[source_id].left_out[kind, reason] = LeftOut(int(rows), int(tokens), int(cost))
    for source_id, code, calls in con.execute(
        """SELECT source_id, code, count(DISTINCT call_no) FROM import_issues JOIN calls USING (call_no)
             JOIN unchanged_files USING (source_id) GROUP BY ALL ORDER BY ALL"""
    ).fetchall():
        known[source_id].flagged[code] = calls
    con.unregister("unchanged_files")


def open_all(con: duckdb.DuckDBPyConnection, files: Sequence[SourceFile]) -> None:
    """Give every file its row in `sources`; of those read a second time forget what the first one set aside."""
    unknown = [file for file in files if file.source_id is None]
    if unknown:
        con.register("source_paths", pa.table({"path": pa.array([file.path_text for file in unknown], pa.string())}))
        known = dict(con.execute("SELECT path, source_id FROM sources JOIN source_paths USING (path)").fetchall())
        next_id = con.execute("SELECT coalesce(max(source_id) + 1, 0) FROM sources").fetchall()[0][0]
        new: dict[str, int] = {}
        for file in unknown:
            file.source_id = known.get(file.path_text)
            if file.source_id is None:
                file.source_id = new[file.path_text] = next_id + len(new)
        con.unregister("source_paths")
        if new:
            ids = pa.array(list(new.values()), pa.int32())
            con.register("new_sources", pa.table({"source_id": ids, "path": pa.array(list(new), pa.string())}))
            con.execute("INSERT INTO sources (source_id, path) SELECT source_id, path FROM new_sources")
            con.unregister("new_sources")
    for file in files:
        if file.mode in ("reread", "resume"):
            gone = con.execute(
                "DELETE FROM quarantine WHERE source_id = ? AND byte_offset >= ?", [file.source_id, file.start]
            ).fetchall()
            if has_tables(con, "left_out"):
                con.execute(
                    "DELETE FROM left_out WHERE source_id = $id AND ($start = 0 OR byte_offset >= $start)",
                    {"id": file.source_id, "start": file.start},
                )
            if file.mode == "resume":
                # a last line without its end was counted, and is read again now
                file.prior["quarantined"] -= gone[0][0]
                file.prior["rows"] -= 1 if file.unfinished else 0
            file.mode = "reading"


def save_all(con: duckdb.DuckDBPyConnection, files: Sequence[SourceFile]) -> None:
    """Write the counts of the files."""
    rows = [file.counts() for file in files]
    con.register("counted", pa.Table.from_pylist(rows, _COUNTED))
    con.execute(
        f"""UPDATE sources SET {", ".join(f"{name} = c.{name}" for name in _COUNTED.names if name != "source_id")},
                   published = (SELECT value::BIGINT + 1 FROM meta WHERE key = 'publish')
              FROM counted c WHERE sources.source_id = c.source_id"""
    )
    con.unregister("counted")


def fingerprint(path: Path, size: int) -> str:
    """A hash of the first and the last bytes of the first `size` bytes of a file, with `size`.

    For a SQLite database also one of the write-ahead log beside it.
    """
    with open_file(path) as handle:
        head = handle.read(min(size, _EDGE))
        handle.seek(max(0, size - _EDGE))
        tail = handle.read(min(size, _EDGE))
    known = f"{size}:{hashlib.sha256(head).hexdigest()[:32]}:{hashlib.sha256(tail).hexdigest()[:32]}"
    log = write_ahead_log(path, head)
    return known if log is None else f"{known}+{fingerprint(log, log.stat().st_size)}"


def compare(con: duckdb.DuckDBPyConnection, source: SourceFile, *, splittable: bool) -> None:
    """Set `mode` and `start` from what the store knows about the same path."""
    rows = con.execute(
        """SELECT source_id, fingerprint, size_bytes, byte_offset, complete, rows, calls, duplicates, quarantined,
                  skipped FROM sources WHERE path = ?""",
        [str(source.path)],
    ).fetchall()
    if not rows:
        return
    source_id, known, size, offset, complete, *counts = rows[0]
    source.source_id = source_id
    names = ("rows", "calls", "duplicates", "quarantined", "skipped")
    source.prior = {name: int(value or 0) for name, value in zip(names, counts, strict=True)}
    if known == source.fingerprint and complete:
        source.mode = "unchanged"
        return
    same = known is not None and size is not None and size <= source.size and fingerprint(source.path, size) == known
    if same and splittable and offset:
        source.mode, source.start, source.end_offset = "resume", int(offset), int(offset)
        source.unfinished = bool(complete) and int(offset) < int(size)
    else:
        source.mode = "reread"
