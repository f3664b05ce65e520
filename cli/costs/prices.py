"""`hindcast prices`: what is known of prices, why, and your own."""

from __future__ import annotations

import typer

from cli.costs.price_changes import import_list, set_prices, unset
from cli.costs.price_lookup import diff, explain_price, list_prices


def register(app: typer.Typer) -> None:
    prices = typer.Typer(help="List, explain, compare and set prices.", no_args_is_help=True)
    prices.command("list")(list_prices)
    prices.command("explain")(explain_price)
    prices.command("diff")(diff)
    prices.command("import")(import_list)
    prices.command("set")(set_prices)
    prices.command("unset")(unset)
    app.add_typer(prices, name="prices")
