"""`hindcast store`: looking after a lake, and taking calls out of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import Since, Until, between
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, say

if TYPE_CHECKING:
    from ingest.store.lake import LakeStore


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Look after a store in a folder or an object store (docs/scale.md).", no_args_is_help=True)
    group.command("check")(check)
    group.command("compact")(compact)
    group.command("split")(split)
    group.command("pull")(pull)
    app.add_typer(group, name="store")


def _lake(store: str) -> LakeStore:
    """The lake at an address. Raises StoreError where there is none, InputError for a DuckDB file."""
    from ingest.errors import InputError
    from ingest.store.address import open_store
    from ingest.store.lake import LakeStore

    found = open_store(store)
    if not isinstance(found, LakeStore):
        with found.read():
            pass
        raise InputError(
            f"{store} is one DuckDB file, which needs none of this", remedy="See when it is enough: docs/scale.md"
        )
    return found


def check(store: StoreOption = DEFAULT_STORE, json: JsonOption = False) -> None:
    """Look whether all that counts is there as it was written.

    Exit code 1: it is not.

    Example: hindcast store check --store s3://bucket/hindcast/
    """
    import msgspec

    from analysis.formatting import count
    from ingest.store.lake_upkeep import check as look

    found = look(_lake(store))
    if json:
        emit_json(msgspec.to_builtins(found))
    else:
        for fault in found.faults:
            say(fault, style="red")
        say(
            f"{count(found.calls, 'call')} in {count(found.parts, 'part')}, {found.bytes / 1e6:,.1f} MB, "
            f"{count(found.buckets, 'bucket')}, {count(found.commits, 'commit')}; "
            + (f"{len(found.faults):,} faults" if found.faults else "nothing is missing")
        )
        if found.unused_objects:
            say(f"No commit names {count(found.unused_objects, 'object')}, {found.unused_bytes / 1e6:,.1f} MB.")
    if found.faults:
        raise typer.Exit(1)


def compact(
    store: StoreOption = DEFAULT_STORE,
    remove_unused: Annotated[
        float | None,
        typer.Option(
            help="Also remove objects that no commit names and that are older than so many hours.",
            callback=between(1, 1e6),
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Merge small parts into larger ones. Nothing that is read changes.

    Example: hindcast store compact --remove-unused 24
    """
    from analysis.reports.lake_cells import keep_rollups
    from ingest.store.lake_upkeep import compact as merge
    from ingest.store.lake_upkeep import remove_unused as remove

    lake = _lake(store)
    before, after = merge(lake)
    keep_rollups(lake)
    gone, size = (0, 0) if remove_unused is None else remove(lake, remove_unused)
    if json:
        emit_json({"parts_before": before, "parts": after, "removed_objects": gone, "removed_bytes": size})
        return
    say(f"{before:,} parts are now {after:,}." if after < before else "No part is small enough to be merged.")
    if remove_unused is not None:
        say(f"{gone:,} objects that no commit names were removed, {size / 1e6:,.1f} MB.")


def split(
    buckets: Annotated[int, typer.Option(help="How many, a power of two.")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Set the number of buckets by which work is divided.

    More buckets need less memory each.

    Example: hindcast store split --buckets 16
    """
    from ingest.store.lake_upkeep import split as divide

    before = divide(_lake(store), buckets)
    if json:
        emit_json({"buckets_before": before, "buckets": buckets})
    else:
        say(f"{before:,} buckets are now {buckets:,}.")


def pull(
    output: Annotated[Path, typer.Option("-o", "--output", help="The DuckDB file to make.")],
    since: Since = None,
    until: Until = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Take the calls of some days into a DuckDB file.

    Every command works on it. Without days all calls are taken.

    Example: hindcast store pull --since 2026-03-01 -o week.duckdb
    """
    from analysis.formatting import count
    from analysis.ledger.lake_pull import pull as take

    calls = take(_lake(store), output, since, until)
    if json:
        emit_json({"calls": calls, "path": str(output)})
    else:
        say(f"{count(calls, 'call')} in {output}. Next: hindcast cost --store {output}")
