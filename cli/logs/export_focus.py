"""`hindcast export focus`: the ledger as FOCUS billing data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.options import Since, Until, Where, choice, registry, selected_store
from cli.terminal.output import JsonOption, StoreOption, emit_json, note, told_where_it_fails


def register_export(group: typer.Typer) -> None:
    group.command()(focus)


def focus(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; without it, to stdout.")
    ] = None,
    spec: Annotated[
        str, choice("--spec", registry("analysis.reports.focus_export", "SPECS"), "FOCUS version: 1.4 or 1.2.")
    ] = "1.4",
    since: Since = None,
    until: Until = None,
    where: Where = None,
    account: Annotated[str, typer.Option("--account", help="BillingAccountId and name.")] = "default",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if any call has no price and so no row.")] = False,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Write cost and usage as a FOCUS CSV.

    One row per day, model, meter and tier; agent and task are in Tags.

    Example: hindcast export focus --spec 1.4 -o costs.csv
    """
    from analysis import formatting
    from analysis.log_days import nothing_logged
    from analysis.reports.focus_export import export
    from ingest.errors import GateError, InputError

    if json and output is None:
        raise InputError("--json reports on the file, which then needs a place", remedy="Add: -o costs.csv")
    if output is None:
        with told_where_it_fails():
            done = export(
                selected_store(store, where), sys.stdout, spec=spec, account=account, since=since, until=until
            )
    else:
        with selected_store(store, where).read():  # a store that cannot be read must not cost the file its content
            pass
        with output.open("w", encoding="utf-8", newline="") as out:
            done = export(selected_store(store, where), out, spec=spec, account=account, since=since, until=until)
    if json:
        emit_json(
            {
                "spec": spec, "path": str(output), "rows": done.rows, "billed_usd": formatting.usd(done.billed_usd),
                "unpriced_calls": done.unpriced_calls, "untimed_calls": done.untimed_calls,
            }
        )  # fmt: skip
    else:
        note(f"{formatting.count(done.rows, f'FOCUS {spec} row')}, {formatting.money(done.billed_usd)}.")
    nothing = None if done.rows or not (since or until) else nothing_logged(selected_store(store, where), since, until)
    if nothing:
        note(nothing)
    if done.unpriced_calls:
        note(
            f"{formatting.count(done.unpriced_calls, 'call')} without a price and so without a row (see hindcast cost)."
        )
    if done.untimed_calls:
        note(f"{formatting.count(done.untimed_calls, 'call')} without a time and so without a row.")
    if strict and done.unpriced_calls + done.untimed_calls:
        raise GateError(f"not in the file: {formatting.count(done.unpriced_calls + done.untimed_calls, 'call')}")
