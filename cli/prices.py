"""`hindcast prices`: what is known of prices, and your own."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.output import JsonOption, StoreOption, emit_json, say, table


def register(app: typer.Typer) -> None:
    prices = typer.Typer(help="List, explain, compare and set prices.", no_args_is_help=True)
    prices.command("list")(list_prices)
    app.add_typer(prices, name="prices")


def list_prices(
    model: Annotated[
        str | None, typer.Argument(help="Part of a model name; without it, the models in the store.")
    ] = None,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """The price rows of the models in your calls, or of every model whose name contains MODEL.

    Example: hindcast prices list gpt-4o
    """
    from analysis import present
    from analysis.price_list import list_rows
    from ingest.store import Store

    found = list_rows(Store(store), model)
    if json:
        emit_json(found.to_json())
        return
    say(f"{len(found.rows):,} price rows of {found.models:,} models ({found.version}); USD per million tokens.")
    say()
    table(
        ["provider", "model", "tier", "from", "requests", "input", "cached", "write", "output", "source"],
        [
            [
                row["provider"], row["model"], row["tier"], row["effective_from"] or "always", row["size"],
                *(present.usd(row[kind]) or "-" for kind in ("input", "cache_read", "cache_write", "output")),
                row["source"].split(",")[0].split(":")[0],
            ]
            for row in found.rows
        ],
        left=(0, 1, 2, 3, 4, 9),
    )  # fmt: skip
    if found.unresolved:
        say()
        say(f"No price: {', '.join(found.unresolved)}")
