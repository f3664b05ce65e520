"""Prices: what each model costs and since when, where the figure comes from, and what has none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import streamlit as st

from analysis.present import usd
from dashboard import cached, elements, frame, views
from dashboard.tables import Column, Table

KINDS = (("input", "input"), ("cache_read", "cached"), ("cache_write", "write"), ("output", "output"))


def show() -> None:
    """Draw the page."""
    view = frame.view(dates=False)
    answer = st.container()
    part = st.text_input(
        "Part of a model's name", key="model", bind="query-params", placeholder="the models of this log",
        help="Empty: the models that the calls of this store used",
    )  # fmt: skip
    found = cached.prices(*view.key, part.strip() or None)
    with answer:
        elements.finding(headline(found, part.strip()), level=1)
        elements.note("USD per million tokens. A call is priced at the price of its day.")
    for name in found["unresolved"]:
        elements.note(f"No price for {name}: its calls are in no total.", warn=True)
    for item in found["loosely_matched"]:
        elements.note(f"Loosely matched, please check: {item['name']} is {item['rule']}.", warn=True)
    if not found["rows"]:
        elements.nothing("No price row", "Another part of a name, or a price of your own:")
    else:
        elements.table(book(found), "prices", limit=60)
    own = cached.own_prices(*view.key)
    elements.finding(f"Your own: {len(own['overrides'])} prices, {len(own['aliases'])} aliases")
    said = [item["text"] for item in own["overrides"]]
    said += [f"{alias} is priced as {target}" for alias, target in own["aliases"].items()]
    if said:
        elements.points(said, shown=20)
    elements.finding("From here")
    for command in ("explain MODEL --at DATE", "diff FILE", "set MODEL --input USD --output USD"):
        elements.command(f"hindcast prices {command}")


def headline(found: views.Document, part: str) -> str:
    """How many rows of how many models, and which book."""
    models = len({(row["provider"], row["model"]) for row in found["rows"]})
    which = f"whose name contains '{part}'" if part else "of this log"
    missing = f"; {len(found['unresolved'])} without a price" if found["unresolved"] else ""
    return f"{views.plural(len(found['rows']), 'price row')} for {views.plural(models, 'model')} {which}{missing}"


def book(found: views.Document) -> Table:
    """The rows: model, tier, since when, prices by kind, source."""
    columns = (
        Column("provider"),
        Column("model"),
        Column("tier"),
        Column("from"),
        Column("requests", about="Prices of some models depend on the size of the request"),
        *(Column(title, _price, figure=True) for _, title in KINDS),
        Column("source"),
    )
    rows: list[tuple[Any, ...]] = [
        (row["provider"], row["model"], row["tier"], row["effective_from"] or "always", row["size"],
         *(None if row[kind] is None else Decimal(row[kind]) for kind, _ in KINDS), row["source"])
        for row in found["rows"]
    ]  # fmt: skip
    return Table(f"Price book {found['price_book_version']}", columns, tuple(rows))


def _price(value: Decimal | None) -> str:
    return usd(value) or "-"
