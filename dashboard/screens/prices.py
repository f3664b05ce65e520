"""Prices: what each model costs and since when, where the figure comes from, and what has none."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import streamlit as st

from analysis.formatting import count as counted
from analysis.formatting import money, tokens, usd
from dashboard.data import results_cache
from dashboard.documents import document_views
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, page_frame
from ingest.errors import InputError

KINDS = (("input", "input"), ("cache_read", "cached"), ("cache_write", "write"), ("output", "output"))


def show() -> None:
    """Draw the page."""
    view = page_frame.view(dates=False)
    answer = st.container()
    part = st.text_input(
        "Part of a model's name", key="model", bind="query-params", placeholder="the models of this log",
        help="Empty: the models that the calls of this store used",
    )  # fmt: skip
    found = results_cache.prices(*view.key, part.strip() or None)
    with answer:
        blocks.finding(headline(found, part.strip()), level=1)
        blocks.note("USD per million tokens. A call is priced at the price of its day.")
    for name in found["unresolved"]:
        blocks.note(f"No price for {name}: its calls are in no total.", warn=True)
    for item in found["loosely_matched"]:
        blocks.note(f"Loosely matched, please check: {item['name']} is {item['rule']}.", warn=True)
    if not found["rows"]:
        blocks.nothing("No price row", "Another part of a name, or a price of your own:")
    else:
        blocks.table(book(found), "prices", limit=60)
    own = results_cache.own_prices(*view.key)
    kinds = [counted(len(own[kind]), name) for kind, name in (("overrides", "price"), ("aliases", "other name"))]
    blocks.finding(f"Your own: {', '.join(kinds)}" if any(own.values()) else "No prices of your own")
    said = [item["text"] for item in own["overrides"]]
    said += [f"{alias} is priced as {target}" for alias, target in own["aliases"].items()]
    if said:
        blocks.points(said, shown=20)
    _diff(view)
    blocks.finding("From here")
    for command in ("explain MODEL --at DATE", "set MODEL --input USD --output USD"):
        blocks.command(f"hindcast prices {command}")


def _diff(view: page_frame.View) -> None:
    """Another price list beside the book, for the models of this log."""
    place = st.container()
    with place:
        heading = st.empty()
    left, right = st.columns([3, 1])
    file = left.file_uploader(
        "litellm's model_prices_and_context_window.json", type="json", key="their-prices",
        help="Compared on this machine with the models that the calls of this log used; not kept",
    )  # fmt: skip
    last = view.coverage.last
    at = right.date_input("Our prices of", value=last.date() if last else None, key="at",
                          format="YYYY-MM-DD", help="A UTC day")  # fmt: skip
    with heading.container():
        if file is None or not isinstance(at, date):
            blocks.finding("Compare the book with another price list")
            return
        try:
            found = results_cache.price_differences(*view.key, file.getvalue(), at)
        except InputError as error:
            blocks.nothing(error.what, error.remedy or "Choose another file.")
            return
        blocks.finding(diff_headline(found))
    if found["differences"]:
        blocks.table(differences(found), "price-differences")
    if found["missing"]:
        blocks.note(f"Not in the file: {', '.join(found['missing'])}.")
    blocks.command(f"hindcast prices diff {file.name} --at {at}")


def diff_headline(found: document_views.Document) -> str:
    """How many prices differ, and what hangs on them."""
    rows = found["differences"]
    if not rows:
        return "Every price that the file has agrees with the book"
    stakes = [abs(Decimal(row["usd_at_stake"])) for row in rows if row["usd_at_stake"] is not None]
    verb = "differs" if len(rows) == 1 else "differ"
    return f"{counted(len(rows), 'price')} {verb} from the book: {money(sum(stakes, Decimal(0)))} at stake"


def differences(found: document_views.Document) -> Table:
    """Model, kind of token, both prices, tokens used, and what the difference is worth over them."""
    columns = (
        Column("model"),
        Column("kind"),
        Column("book", _price, figure=True, about="USD per million tokens"),
        Column("file", _price, figure=True, about="USD per million tokens"),
        Column("tokens", tokens, figure=True, minor=True),
        Column(
            "file less book",
            lambda value: "-" if value is None else money(value, sign=True),
            figure=True,
            about="What these tokens would have cost more or less at the file's price",
        ),
    )
    rows = tuple(
        (
            "/".join(part for part in (row["provider"], row["model"]) if part),
            dict(KINDS).get(row["token_kind"], row["token_kind"]),
            document_views.dollars(row["ours"]),
            document_views.dollars(row["theirs"]),
            row["tokens"],
            document_views.dollars(row["usd_at_stake"]),
        )
        for row in found["differences"]
    )
    return Table("Prices that differ", columns, rows)


def headline(found: document_views.Document, part: str) -> str:
    """How many rows of how many models, and which book."""
    models = len({(row["provider"], row["model"]) for row in found["rows"]})
    which = f"whose name contains '{part}'" if part else "of this log"
    missing = f"; {len(found['unresolved'])} without a price" if found["unresolved"] else ""
    return f"{counted(len(found['rows']), 'price row')} for {counted(models, 'model')} {which}{missing}"


def book(found: document_views.Document) -> Table:
    """The rows: model, prices by kind, tier, since when, for which requests, and the source."""
    columns = (
        Column("model"),
        *(Column(title, _price, figure=True, minor=kind.startswith("cache")) for kind, title in KINDS),
        Column("tier"),
        Column("from"),
        Column("requests", minor=True, about="Prices of some models depend on the size of the request"),
        Column("source", minor=True),
    )
    rows: list[tuple[Any, ...]] = [
        ("/".join(part for part in (row["provider"], row["model"]) if part),
         *(None if row[kind] is None else Decimal(row[kind]) for kind, _ in KINDS),
         row["tier"], row["effective_from"] or "always", row["size"], row["source"])
        for row in found["rows"]
    ]  # fmt: skip
    return Table(f"Price book {found['price_book_version']}", columns, tuple(rows))


def _price(value: Decimal | None) -> str:
    return usd(value) or "-"
