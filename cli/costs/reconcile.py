"""`hindcast reconcile`: the provider's invoice against the ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table


def register(app: typer.Typer) -> None:
    app.command()(reconcile)


def reconcile(
    files: Annotated[list[str], typer.Argument(help="Usage and cost reports, CUR exports or activity of one invoice.")],
    mapping: Annotated[str | None, typer.Option("--mapping", help="Mapping file for a CSV of your own.")] = None,
    zone: Annotated[
        int | None,
        typer.Option(
            "--zone-hours",
            min=-14,
            max=14,
            help="Hours by which the invoice's days begin before UTC days (default: inferred).",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="Largest single differences to list.")] = 10,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Explain the gap between a provider's invoice and the ledger.

    By quantities first, then by prices.

    Example: hindcast reconcile openai_usage.json openai_costs.json
    """
    from pathlib import Path

    from analysis import formatting
    from analysis.billing.read_invoice import read_invoice
    from analysis.billing.reconcile import EFFECTS
    from analysis.billing.reconcile import reconcile as compare
    from ingest.store.address import open_store

    lines = [line for file in files for line in read_invoice(Path(file), Path(mapping) if mapping else None)]
    found = compare(open_store(store), lines, zone_hours=zone)
    if json:
        emit_json(found.to_json())
        return
    say(
        f"The invoice of {found.since} to {found.until} is {formatting.money(found.invoice_usd)}, the ledger says "
        f"{formatting.money(found.ledger_usd)}: {formatting.money(found.gap, sign=True)}."
    )
    totals = found.totals()
    if totals:
        say()
        table(
            ["usd", "effect", "what it is"],
            [
                *([formatting.money(amount, sign=True), name, EFFECTS[name]] for name, amount in totals.items()),
                [formatting.money(found.gap, sign=True), "sum", "the gap, to the pico-dollar"],
            ],
            left=(1, 2),
        )
        say()
        say("Largest single differences:")
        largest = sorted(found.effects, key=lambda e: (-abs(e.usd), e.name, e.day, e.model, e.kind))[:top]
        table(
            ["usd", "day", "model", "token kind", "effect"],
            [[formatting.money(e.usd, sign=True), str(e.day), e.model or e.text, e.kind, e.name] for e in largest],
            left=(1, 2, 3, 4),
        )
    if found.zone_hours:
        say()
        say(f"The invoice's days fit days that begin {found.zone_hours:+d} hours from UTC.")
