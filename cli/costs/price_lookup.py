"""`hindcast prices list`, `explain` and `diff`: what is known of prices, and why."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.calendar_days import single_day
from cli.terminal.options import choice, complete_day
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from analysis.reports.price_explanation import PriceExplanation


def service_tiers() -> tuple[str, ...]:
    """The tiers that have prices."""
    from analysis.price_book.vocabulary import TIERS

    return TIERS[:-1]  # without "unknown"


ProviderOption = Annotated[str | None, typer.Option("--provider", help="The provider as logged.")]
At = Annotated[
    date | None,
    typer.Option(
        "--at", parser=single_day, autocompletion=complete_day, metavar="DAY", help="UTC day (default: today)."
    ),
]


def list_prices(
    model: Annotated[
        str | None, typer.Argument(help="Part of a model name; without it, the models in the store.")
    ] = None,
    overrides: Annotated[bool, typer.Option("--overrides", help="Your own prices and aliases instead.")] = False,
    unpriced: Annotated[bool, typer.Option("--unpriced", help="Logged models without a price instead.")] = False,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """List the price rows of the logged models, or of MODEL.

    MODEL is a part of a name.

    Example: hindcast prices list gpt-4o
    """
    from analysis import formatting
    from analysis.reports.price_list import list_overrides, list_rows
    from ingest.store.address import open_store

    if overrides:
        own = list_overrides(open_store(store))
        if json:
            emit_json(own)
            return
        aliases = formatting.count(len(own["aliases"]), "alias", "aliases")
        say(f"Set: {formatting.count(len(own['overrides']), 'override')}, {aliases}.")
        for item in own["overrides"]:
            say(f"  {item['override_id']:>3}  {item['text']}")
        for alias, target in own["aliases"].items():
            say(f"       {alias} is priced as {target}")
        return
    if unpriced:
        _list_unpriced(store, json)
        return
    found = list_rows(open_store(store), model)
    if json:
        emit_json(found.to_json())
        return
    rows, models = formatting.count(len(found.rows), "price row"), formatting.count(found.models, "model")
    say(f"{rows} of {models} ({found.version}); USD per million tokens.")
    say()
    table(
        ["provider", "model", "tier", "from", "requests", "input", "cached", "write", "output", "source"],
        [
            [
                row["provider"], row["model"], row["tier"], row["effective_from"] or "always", row["size"],
                *(formatting.usd(row[kind]) or "-" for kind in ("input", "cache_read", "cache_write", "output")),
                row["source"].split(",")[0].split(":")[0],
            ]
            for row in found.rows
        ],
        left=(0, 1, 2, 3, 4, 9),
        optional=(9, 0, 7),
    )  # fmt: skip
    if found.unresolved:
        say()
        say(f"No price: {', '.join(found.unresolved)}")
    if found.loose:
        say()
        say("Loosely matched, please check (hindcast prices explain MODEL):")
        for name, rule in found.loose:
            say(f"  {name}: {rule}")


def _list_unpriced(store: str, json: bool) -> None:
    from analysis import formatting
    from analysis.reports.unpriced_models import unpriced_models
    from ingest.store.address import open_store

    found = unpriced_models(open_store(store))
    if json:
        emit_json({"models": [item.to_json() for item in found]})
        return
    if not found:
        say("Every model in the store has a price.")
        return
    calls = formatting.count(sum(item.calls for item in found), "call")
    say(f"{calls} without a price; those with most dollars logged first, then with most tokens.")
    say()
    table(
        ["provider", "model", "why", "calls", "tokens", "logged"],
        [
            [
                item.provider or "-", item.model or "(no model)", item.status, f"{item.calls:,}",
                formatting.tokens(item.tokens), "-" if item.logged_usd is None else formatting.money(item.logged_usd),
            ]
            for item in found
        ],
        left=(0, 1, 2),
    )  # fmt: skip
    offers = {item.model: item.like for item in found if item.like}
    if offers:
        say()
        say("Names of a plan, without a price by the token. If you want them priced as the model behind them:")
        for name, like in offers.items():
            say(f"  hindcast prices set {name} --as {like}")


def explain_price(
    model: Annotated[str, typer.Argument(help="The model as logged.")],
    at: At = None,
    provider: ProviderOption = None,
    tier: Annotated[str, choice("--tier", service_tiers, "standard, batch, flex, priority or fast.")] = "standard",
    tokens: Annotated[
        int, typer.Option("--tokens", min=0, max=2**40, help="Input tokens of the request, for context tiers.")
    ] = 0,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Explain how a logged model name gets its price on a day.

    Example: hindcast prices explain gpt-3.5-turbo --at 2024-03-05
    """
    from analysis.calendar_days import today
    from analysis.pricing.model_names import UNRESOLVED
    from analysis.reports.price_explanation import ModelPrices
    from ingest.store.address import open_store

    handle = open_store(store)
    if handle.exists():
        with handle.read() as con:
            found = ModelPrices(con, provider, model).at(at or today(), tier, input_tokens=tokens)
            logged = bool(con.execute("SELECT 1 FROM calls WHERE model = ? LIMIT 1", [model]).fetchall())
    else:
        logged = False
        found = ModelPrices(None, provider, model).at(at or today(), tier, input_tokens=tokens)
    if json:
        emit_json(found.to_json())
    else:
        _show_explanation(found)
    if found.resolution == UNRESOLVED and not logged:  # a name of no model: mistyped
        raise typer.Exit(2)


def _show_explanation(found: PriceExplanation) -> None:
    from analysis.pricing.stored_overrides import near_models

    name = "/".join(part for part in (found.provider, found.model) if part)
    row = found.row
    if row is None:
        say(f"{name} has no {found.tier} price on {found.at}.")
        say(f"  name     {found.resolution.rule}")
        say()
        say(near_models(found.model or "MODEL"))
        return
    prices = {kind: text for kind, text in row["usd_per_million"].items() if text and not text.startswith("as ")}
    heads = {"input": "input", "cache_read": "cached", "output": "output"}
    parts = [f"{prices[kind]} {word}" for kind, word in heads.items() if kind in prices]
    say(f"{name} on {found.at}: {', '.join(parts)} (USD per million tokens).")
    if found.extended:
        say(f"No price is known before {found.extended}; the first one is used.")
    say()
    key = "/".join(found.resolution.key) if found.resolution.key else "(your own price)"
    say(f"  name       {name} -> {key}")
    say(f"  rule       {found.resolution.rule} ({found.resolution.confidence} confidence)")
    for text in found.overrides:
        say(f"  yours      {text}")
    say(f"  valid      {_since(row)} to {row['effective_to'] or 'now'}, {found.tier} tier{_size(row)}")
    say(f"  source     {row['source']} ({row['confidence']} confidence)")
    others = [f"{kind.replace('_', ' ')} {text}" for kind, text in prices.items() if kind not in heads]
    if others:
        say(f"  also       {', '.join(others)}")
    say(
        "  otherwise  a kind without a price of its own is billed at its parent's: cached as input, reasoning as output"
    )
    say(f"  book       {found.version}")
    if len(found.history) > 1:
        say()
        table(
            ["from", "requests", "input", "cached", "output", "source"],
            [
                [
                    _since(entry),
                    _size(entry).strip(", ") or "any",
                    *(_own(entry, kind) for kind in ("input", "cache_read", "output")),
                    entry["source"].split(":")[0].rsplit(", 20", 1)[0],
                ]
                for entry in found.history
            ],
            left=(0, 1, 5),
            optional=(5,),
        )


def _own(row: dict[str, Any], kind: str) -> str:
    text = row["usd_per_million"][kind]
    return "-" if text is None or text.startswith("as ") else str(text)


def _since(row: dict[str, Any]) -> str:
    return str(row["effective_from"] or "always")


def _size(row: dict[str, Any]) -> str:
    text = ""
    if row["above_tokens"] is not None:
        text += f", over {row['above_tokens']:,} input tokens"
    elif row["upto_tokens"] is not None:
        text += f", up to {row['upto_tokens']:,} input tokens"
    return text + (f", {row['hours_utc']} UTC" if row["hours_utc"] else "")


def diff(
    file: Annotated[str, typer.Argument(help="litellm's model_prices_and_context_window.json.")],
    at: At = None,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Compare the prices with a LiteLLM price file.

    For the models in the store.

    Example: hindcast prices diff model_prices_and_context_window.json
    """
    from pathlib import Path

    from analysis import formatting
    from analysis.calendar_days import today
    from analysis.reports.price_list_comparison import compare
    from ingest.store.address import open_store

    found, missing = compare(open_store(store), Path(file), at or today())
    if json:
        emit_json({"differences": [item.to_json() for item in found], "missing": missing})
        return
    differ = f"{formatting.count(len(found), 'price')} not as in {file}."
    say(differ if found else f"Every price that {file} has agrees.")
    if found:
        say()
        table(
            ["model", "kind", "ours", "theirs", "tokens", "theirs - ours"],
            [
                [
                    "/".join(part for part in (item.provider, item.model) if part),
                    item.kind,
                    formatting.usd(item.ours) or "-",
                    formatting.usd(item.theirs) or "-",
                    formatting.tokens(item.tokens),
                    "-" if item.usd_at_stake is None else formatting.money(item.usd_at_stake, sign=True),
                ]
                for item in found
            ],
            left=(0, 1),
        )
    if missing:
        say()
        say(f"Not in the file: {', '.join(missing)}")
