"""The files of an ingest into a lake: on this machine or in an object store, and what the lake knows of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ingest.detect.file_format import recognise
from ingest.errors import InputError
from ingest.files.call_bodies import is_body
from ingest.format_contract import Format
from ingest.lake.parquet_logs import recognise_parquet
from ingest.lake.plan import TASK_BYTES, LogFile
from ingest.pipeline.found_files import find_files
from ingest.pipeline.report import IngestReport
from ingest.places.open_place import open_place
from ingest.places.place import Listed, Place, is_url
from ingest.staging.source_files import SourceFile
from ingest.store.lake import LakeStore

_HEAD: Final = 1 << 20  # bytes of a large object that tell what it is
PRINTED: Final = "what a tool printed of a run is read into a DuckDB file only: a lake does not look for its session"
MANY: Final = 10_000  # objects of which it is said first what reading them costs
GET_USD_PER_MILLION: Final = 0.40  # S3 standard, us-east-1, list price of 2026-01


@dataclass
class Found:
    """A file that is to be read, and its counts."""

    source: SourceFile
    log: LogFile


def find(
    store: LakeStore,
    paths: Sequence[str | Path],
    report: IngestReport,
    *,
    mapping: Any,
    forced: Format | None,
    tell: Callable[[str], None] | None = None,
    task_bytes: int = TASK_BYTES,
) -> tuple[list[SourceFile], list[Found]]:
    """(all files in order, those to be read). Raises InputError if there is nothing that could be read."""
    sources: list[SourceFile] = []
    found: list[Found] = []
    local = [path for path in paths if not is_url(str(path))]
    if local:
        for source, known in find_files(local, store, report, mapping=mapping, forced=forced):
            sources.append(source)
            source.number = len(sources) - 1
            if source.mode == "unchanged":
                continue
            if source.printed:
                report.problems.append(InputError(PRINTED, where=str(source.path)))
                sources.pop()
                continue
            if source.mode == "resume":  # from the beginning: what is known of it is found again by its identity
                source.mode, source.start, source.end_offset = "reread", 0, 0
            log = LogFile(
                source.number, "", "", str(source.path), source.size, source.fingerprint, source.mtime_ns // 1000,
                known.format, known.name, known.shape, known.splittable, known.compressed,
            )  # fmt: skip
            if known.shape == "parquet" and log.size > task_bytes:
                groups = _groups(open_place(str(source.path.parent)), source.path.name, mapping, forced)
                log = msgspec.structs.replace(log, groups=groups)
            found.append(Found(source, log))
    for address in (str(path) for path in paths if is_url(str(path))):
        _find_objects(store, address, sources, found, mapping, forced, task_bytes)
    objects = sum(1 for one in found if one.log.logs)
    if tell is not None and objects >= MANY:
        tell(
            f"{objects:,} objects are read by as many requests: about ${objects / 1e6 * GET_USD_PER_MILLION:,.2f} "
            f"at ${GET_USD_PER_MILLION:.2f} a million (S3 standard)"
        )
    return sources, found


def _find_objects(
    store: LakeStore,
    address: str,
    sources: list[SourceFile],
    found: list[Found],
    mapping: Any,
    forced: Format | None,
    task_bytes: int,
) -> None:
    folder, _, last = address.rpartition("/")
    place, prefix = (open_place(folder + "/"), last) if last else (open_place(address), "")
    listed = [one for one in place.list(prefix) if one.size and not is_body(place.address + one.name)]
    if not listed:
        raise InputError("no object is there", where=address)
    known = _known(store)
    for one in listed:
        path = place.address + one.name
        version = f"{one.size}:{one.version}"
        source = SourceFile(len(sources), Path(path), "", one.size, one.modified_us * 1000, version)
        source.url = path
        sources.append(source)
        if path in known:
            source.source_id, fingerprint, complete, source.format, source.prior = known[path]
            if fingerprint == version and complete:
                source.mode = "unchanged"
                continue
            source.mode = "reread"
        found.append(Found(source, _object(place, one, source, mapping, forced, task_bytes)))


def _groups(place: Place, name: str, mapping: Any, forced: Format | None) -> list[int]:
    with tempfile.TemporaryDirectory(prefix="hindcast-") as folder:
        found = recognise_parquet(place, name, Path(folder), mapping, forced)
    return found[1] if found else []


def _known(store: LakeStore) -> dict[str, tuple[int, str, bool, str, dict[str, int]]]:
    if not store.exists():
        return {}
    names = ("rows", "calls", "duplicates", "quarantined", "skipped")
    with store.read() as con:
        rows = con.execute(
            f"SELECT path, source_id, fingerprint, complete, format, {', '.join(names)} FROM sources"
        ).fetchall()
    return {
        path: (number, mark, bool(whole), format or "", {n: int(v or 0) for n, v in zip(names, counts, strict=True)})
        for path, number, mark, whole, format, *counts in rows
    }


def _object(
    place: Place, one: Listed, source: SourceFile, mapping: Any, forced: Format | None, task_bytes: int
) -> LogFile:
    """A large object is recognised by its beginning, as it may be split; small ones by whoever reads them."""
    told: dict[str, Any] = {"format": None, "title": "", "shape": "", "split": False, "compressed": False}
    if one.size > task_bytes or forced is not None:
        groups: list[int] = []
        with tempfile.TemporaryDirectory(prefix="hindcast-") as folder:
            head = Path(folder) / Path(one.name).name
            data = place.read(one.name, 0, min(_HEAD, one.size))
            known = None
            if data.startswith(b"PAR1"):
                known, groups = recognise_parquet(place, one.name, Path(folder), mapping, forced) or (None, [])
            else:
                head.write_bytes(data)
                with suppress(InputError):
                    known = recognise(head, mapping=mapping, forced=forced)
        if known is not None:
            told = {
                "format": known.format, "title": known.name, "shape": known.shape, "split": known.splittable,
                "compressed": known.compressed, "groups": groups,
            }  # fmt: skip
    source.format = told["title"]
    return LogFile(
        source.number, place.address, one.name, place.address + one.name, one.size, one.version, one.modified_us, **told
    )
