"""`hindcast.ingest`: logs into a store, priced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import StoreLike, as_store
from cli.python_api.result import Result
from ingest.capture.log_file import flush_logs
from ingest.errors import InputError
from ingest.places.place import is_url
from ingest.store import database
from ingest.store.address import as_text, is_lake

if TYPE_CHECKING:
    import polars as pl

    from ingest.pipeline import report as pipeline_report


@dataclass(frozen=True, repr=False)
class IngestReport(Result):
    """What an ingest read, and what the store costs after it.

    `cost` and `logged_cost` are dollars (Decimal) of all calls of the store by the price book and by the log itself,
    None where nothing is known; `unpriced_calls` of the store have no price. `problems` are the files that could not
    be read, each an error with its remedy.
    """

    report: pipeline_report.IngestReport
    cost: Decimal | None
    logged_cost: Decimal | None
    unpriced_calls: int

    shown = ("path", "format", "rows", "calls", "duplicates", "quarantined")

    @property
    def calls(self) -> int:
        """New calls."""
        return self.report.calls

    @property
    def problems(self) -> list[Any]:
        """What could not be read, and why."""
        return list(self.report.problems)

    @property
    def summary(self) -> str:
        from analysis.formatting import count, money

        cost = f", {money(self.cost)} in the store" if self.cost is not None else ""
        read = f"{count(self.report.calls, 'new call')} from {count(len(self.report.files), 'file')}{cost}."
        return " ".join([read, *self._replaced, *self.not_read])

    @property
    def _replaced(self) -> list[str]:
        from analysis.formatting import count

        gone = self.report.replaced
        if not gone:
            return []
        now = sum(file["calls"] for file in self.report.files if file["path"] in gone)
        objects = "object was" if len(gone) == 1 else "objects were"
        return [f"{len(gone):,} {objects} written anew: {count(sum(gone.values()), 'call')} became {now:,}."]

    @property
    def not_read(self) -> list[str]:
        """Sentences on what names usage and was not read, and on files of which nothing is a call."""
        from analysis.formatting import count, money, tokens

        told = []
        lost = self.report.left_out
        if lost["rows"]:
            logged = f", {money(Decimal(lost['cost_pico']).scaleb(-12))} logged" if lost["cost_pico"] else ""
            told.append(f"Not read: {count(lost['rows'], 'row')} with usage ({tokens(lost['tokens'])} tokens{logged}).")
        if self.report.unread:
            told.append(f"Token counts not read: {count(self.report.unread, 'call')}.")
        twice = sum(file["flagged"].get("counted_twice", 0) for file in self.report.files)
        if twice:
            told.append(f"Counted twice: {count(twice, 'printed run')}, whose session's log was read later.")
        if self.report.passed_over_usage:
            told.append(f"Of no known format: {count(len(self.report.passed_over_usage), 'file')} with usage.")
        empty = self.report.empty_files
        if empty:
            told.append(f"No call in {Path(empty[0]).name}" + (f" and {len(empty) - 1:,} more." if empty[1:] else "."))
        return told

    def document(self) -> dict[str, Any]:
        from analysis.formatting import usd

        document = self.report.to_json()
        files = document.pop("files")
        return {
            **document,
            "cost_usd": usd(self.cost),
            "logged_cost_usd": usd(self.logged_cost),
            "unpriced_calls": self.unpriced_calls,
            "files": files,
        }

    def to_frame(self) -> pl.DataFrame:
        """One row per file.

        Columns: `path`, `format` String; Int64: `rows`, `calls` (new ones), `duplicates`, `quarantined` (unusable),
        `logged_elsewhere` (of the duplicates, those of calls stored under another id: from another tool's log, the
        printed output of a run, or this log read with or without texts). The rows that are no calls make up the
        difference.
        """
        import polars as pl

        from cli.python_api.frames import frame

        counts = ("rows", "calls", "duplicates", "quarantined", "logged_elsewhere")
        columns = {"path": pl.String(), "format": pl.String(), **{name: pl.Int64() for name in counts}}
        return frame(({**file, "path": str(file["path"])} for file in self.report.files), columns)


def ingest(
    store: StoreLike,
    paths: str | Path | Iterable[str | Path],
    *,
    format: str | None = None,
    mapping: str | Path | None = None,
    texts: bool = True,
    metadata_only: bool = False,
    redact: bool | Iterable[str] = False,
    timezone: str = "UTC",
    max_bad_ratio: float | None = None,
    match_formats: bool = True,
    workers: int | None = None,
    wait: float = 60.0,
    on: str | None = None,
) -> IngestReport:
    """Read LLM call logs into the store, each call once, and price them.

    Parameters:
        store: a Store, the path of its file, or the address of a lake (`folder/`, `s3://`); made where there is none.
        paths: files, folders or patterns such as `logs/*.jsonl`; plain, .gz or .zst. Into a lake also `s3://bucket/prefix`.
        format: read all files as this format; by default each is recognised.
        mapping: a mapping file (YAML) for logs of your own layout.
        texts: False keeps keyed hashes, lengths and token counts, never a text.
        metadata_only: keep nothing of the messages.
        redact: True masks keys, passwords, e-mail, card and phone numbers; regular expressions are masked too.
        timezone: the zone of times that name none.
        max_bad_ratio: raise where more than this share of the rows is unusable (0 to 1).
        match_formats: take a call once that two tools logged.
        workers: parser processes; by default one per processor, at most 8.
        wait: seconds to wait while another ingest works on the store.
        on: the address of a Dask scheduler on whose workers a lake is read into.

    Returns: an IngestReport, the document of `hindcast ingest --json`. Files that could not be read are its
    `problems` and stop no other.

    Raises: InputError where there is nothing to read, StoreError where the store cannot be written, StoreBusyError
    after `wait` seconds, GateError above `max_bad_ratio`.

    Example: hindcast.ingest("calls.duckdb", ["logs/*.jsonl"], texts=False)
    """
    flush_logs()  # what this process recorded up to now may be among the files
    target = as_store(store)
    report = read_logs(
        target,
        _files(paths),
        on=on,
        format=format,
        mapping=mapping,
        text=texts,
        metadata_only=metadata_only,
        redact=None if redact is False else [] if redact is True else list(redact),
        timezone=timezone,
        workers=workers,
        wait=wait,
        match_formats=match_formats,
        meanwhile=load_pricing,
    )
    priced = price_new_calls(target, report)
    if max_bad_ratio is not None:
        report.check(max_bad_ratio)
    return priced


def read_logs(
    store: database.Store,
    paths: Sequence[str | Path],
    *,
    on: str | None = None,
    timezone: str = "UTC",
    tell: Callable[[str], None] | None = None,
    **options: Any,
) -> pipeline_report.IngestReport:
    """Read logs into a file or a lake; `options` are those of `ingest.pipeline.run.ingest`.

    Raises InputError where what is asked for is not done there.
    """
    addresses = [as_text(path) for path in paths]
    if is_lake(store.address):
        return _read_into_lake(store, addresses, on, timezone, tell, options)
    if on is not None or any(map(is_url, addresses)):
        what = "--on runs an ingest into a lake" if on is not None else "objects of a store are read into a lake"
        raise InputError(
            f"{what}, not into a file", remedy="Name one: --store FOLDER/ (with the slash), or s3://BUCKET/"
        )
    from ingest.pipeline.run import ingest as run_ingest
    from ingest.records.timestamps import zone_named

    return run_ingest(store, paths, zone=zone_named(timezone), **options)


def _read_into_lake(
    store: database.Store,
    paths: Sequence[str],
    on: str | None,
    timezone: str,
    tell: Callable[[str], None] | None,
    options: dict[str, Any],
) -> pipeline_report.IngestReport:
    from analysis.ledger.lake_pricing import LakePricing
    from analysis.reports.lake_cells import add_rollups
    from ingest.lake.executors import executor
    from ingest.lake.run import ingest_into_lake
    from ingest.pipeline.workers import count
    from ingest.store.lake import LakeStore

    lake = store if isinstance(store, LakeStore) else LakeStore(store.address)
    keep = "none" if options.get("metadata_only") else "text" if options.get("text", True) else "hashes"
    passed = {
        name: options[name] for name in ("format", "mapping", "hash_key", "redact", "progress") if name in options
    }
    with executor(on, count(options.get("workers"))) as workers:
        report = ingest_into_lake(lake, paths, workers, LakePricing, keep=keep, timezone=timezone, tell=tell, **passed)
        add_rollups(lake, workers)
    if options.get("max_bad_ratio") is not None:
        report.check(options["max_bad_ratio"])
    return report


def price_new_calls(store: database.Store, report: pipeline_report.IngestReport) -> IngestReport:
    """Bring the ledger up to date and total it."""
    from analysis.ledger.update import update

    update(store)
    with store.read() as con:
        cost, logged, unpriced = con.execute(
            """SELECT sum(cost_usd), sum(logged_cost_usd * weight), count(*) FILTER (WHERE cost_usd IS NULL)
                 FROM costs"""
        ).fetchall()[0]
    return IngestReport(report, cost, logged, unpriced)


def load_pricing() -> None:
    """Load what `price_new_calls` will need."""
    with suppress(Exception):  # whoever needs it meets the same error
        from analysis.price_book.book import first_rows
        from analysis.pricing import numpy_kernel  # noqa: F401

        first_rows()


def _files(paths: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """The paths, each pattern replaced by the files that match; one without a match stays as it is."""
    found: list[str | Path] = []
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        matches = [] if Path(path).exists() else sorted(glob(str(path), recursive=True))  # noqa: PTH207  also absolute
        found += matches or [path]
    return found
