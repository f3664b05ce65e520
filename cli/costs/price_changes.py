"""`hindcast prices import`, `set` and `unset`: prices of your own, and what they change in the cost."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import typer

from cli.costs.price_lookup import ProviderOption, service_tiers
from cli.terminal.options import amount, choice
from cli.terminal.output import JsonOption, StoreOption, emit_json, progress, say
from cli.terminal.output import note as remark


def _first_day(text: str) -> date:
    from analysis.calendar_days import parse_days, today

    return parse_days(text, today())[0]


def _last_day(text: str) -> date:
    from analysis.calendar_days import parse_days, today

    return parse_days(text, today())[1]


def import_list(
    file: Annotated[
        str | None, typer.Argument(help="LiteLLM's map, models.dev's api.json or OpenRouter's list of models.")
    ] = None,
    since: Annotated[
        date | None, typer.Option("--from", parser=_first_day, metavar="DAY", help="First UTC day (default: today).")
    ] = None,
    remove: Annotated[str | None, typer.Option("--remove", help="Forget an imported list: its name.")] = None,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Import a price list for models that the price book lacks.

    Example: hindcast prices import model_prices_and_context_window.json
    """
    from pathlib import Path

    from analysis import formatting
    from analysis.calendar_days import today
    from analysis.price_book import price_lists
    from ingest.errors import InputError
    from ingest.store.address import open_store

    if (file is None) == (remove is None):
        raise InputError("name a FILE to import, or a list to --remove", remedy="hindcast prices import api.json")
    handle = open_store(store)
    with handle.read():
        pass
    if file is None:
        with handle.write() as con:
            price_lists.remove_price_list(con, str(remove))
        _reprice(handle, f"prices of {remove} removed", json)
        return
    found = price_lists.read_price_list(Path(file))
    with handle.write() as con:
        price_lists.store_price_list(con, found, since or today())
    models = formatting.count(found.models, "model")
    _reprice(handle, f"{price_lists.LISTS[found.name]}: prices of {models}, for what the price book lacks", json)


def _number(name: str, about: str) -> Any:
    return typer.Option(name, callback=amount, help=about)


def set_prices(
    model: Annotated[str | None, typer.Argument(help="Model as logged, or a glob such as 'azure/gpt-4o*'.")] = None,
    file: Annotated[str | None, typer.Option("--file", help="A YAML file; replaces all that was set.")] = None,
    provider: ProviderOption = None,
    account: Annotated[str | None, typer.Option("--account", help="Only calls of this team.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only calls of this agent.")] = None,
    region: Annotated[str | None, typer.Option("--region", help="Only calls of this region, or a glob.")] = None,
    input_price: Annotated[str | None, _number("--input", "USD per million input tokens.")] = None,
    output_price: Annotated[str | None, _number("--output", "USD per million output tokens.")] = None,
    cache_read: Annotated[str | None, _number("--cache-read", "USD per million cached tokens.")] = None,
    cache_write: Annotated[str | None, _number("--cache-write", "USD per million written tokens.")] = None,
    reasoning: Annotated[str | None, _number("--reasoning", "USD per million reasoning tokens.")] = None,
    multiplier: Annotated[str | None, _number("--multiplier", "Times the list price, 0.9 = 10 % off.")] = None,
    zero: Annotated[bool, typer.Option("--zero", help="It costs nothing.")] = False,
    per_hour: Annotated[str | None, _number("--per-hour", "USD per machine hour, self-hosted.")] = None,
    basis: Annotated[
        str, choice("--basis", ("busy", "hours"), "Hours billed: busy (any call runs) or hours (clock).")
    ] = "busy",
    same_as: Annotated[str | None, typer.Option("--as", help="Price it as this model, e.g. openai/gpt-4o.")] = None,
    tier: Annotated[str, choice("--tier", service_tiers, "The service tier of absolute prices.")] = "standard",
    since: Annotated[
        date | None, typer.Option("--from", parser=_first_day, metavar="DAY", help="First UTC day.")
    ] = None,
    until: Annotated[
        date | None, typer.Option("--until", parser=_last_day, metavar="DAY", help="Last UTC day, inclusive.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Where this price comes from.")] = "",
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Set your own price for some calls, and reprice.

    Example: hindcast prices set 'azure/gpt-4o*' --input 2.75 --cache-read 1.25 --output 11 --note "EU region"
    """
    from pathlib import Path

    from analysis import formatting
    from analysis.pricing import overrides, stored_overrides
    from ingest.errors import InputError
    from ingest.store.address import open_store

    handle = open_store(store)
    with handle.read():  # a clear error where there is no store
        pass
    aliases: dict[str, str] = {}
    items = []
    if file is not None:
        loaded = overrides.load_file(Path(file))
        items, aliases = loaded.overrides, loaded.aliases
    elif same_as is not None:
        if model is None:
            raise InputError("--as needs the MODEL as logged", remedy="hindcast prices set my-gpt --as openai/gpt-4o")
        aliases = {model: same_as}
    else:
        match = {"provider": provider, "model": model, "account": account, "agent": agent, "region": region}
        values = {
            "input": input_price, "output": output_price, "cache_read": cache_read, "cache_write": cache_write,
            "reasoning": reasoning, "multiplier": multiplier, "per_hour": per_hour, "from": since, "until": until,
        }  # fmt: skip
        given = {name: value for name, value in values.items() if value is not None}
        items = [overrides.parse_override(match=match, zero=zero, basis=basis, tier=tier, note=note, **given)]
    if aliases:
        with handle.read() as con:
            stored_overrides.check_aliases(con, aliases, items, replace_all=file is not None)
    with handle.write() as con:
        stored_overrides.store_overrides(con, items, replace_all=file is not None)
        stored_overrides.store_aliases(con, aliases, replace_all=file is not None)
    done = [formatting.count(len(items), "override")] if items else []
    done += [formatting.count(len(aliases), "alias", "aliases")] if aliases else []
    _reprice(handle, f"{' and '.join(done) or 'Nothing'} set", json)
    with handle.read() as con:
        idle = stored_overrides.unused_overrides(con, items)
    for item in idle:
        names = ", ".join(f"{name} {glob}" for name, glob in vars(item.match).items() if glob)
        remark(f"No call matches {names}. As logged: hindcast cost --by provider,model")


def unset(
    number: Annotated[
        int, typer.Argument(min=1, max=2**31 - 1, help="The override's number: hindcast prices list --overrides.")
    ],
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Remove one of your prices, and reprice.

    Example: hindcast prices unset 1
    """
    from analysis.pricing.stored_overrides import remove_override
    from ingest.store.address import open_store

    handle = open_store(store)
    with handle.read():
        pass
    with handle.write() as con:
        remove_override(con, number)
    _reprice(handle, f"override {number} removed", json)


def _reprice(handle: Any, what: str, json: bool) -> None:
    import numpy as np

    from analysis import formatting
    from analysis.ledger.costs_view import total_cost, unpriced_calls
    from analysis.ledger.update import update
    from analysis.reports.lake_cells import keep_rollups

    before, unpriced = total_cost(handle), unpriced_calls(handle)
    with progress("repricing", unit="calls") as bar:
        summary = update(handle, progress=bar, rebuild=True)
    keep_rollups(handle)
    left = unpriced_calls(handle)
    if json:
        emit_json({"before_usd": formatting.usd(before), **summary.to_json()})
        return
    cost = "costs" if summary.calls == 1 else "cost"
    say(
        f"{what}: {formatting.count(summary.calls, 'call')} {cost} {formatting.money(summary.cost_usd)} "
        f"(before: {formatting.money(before)})."
    )
    won, lost = (len(np.setdiff1d(*pair, assume_unique=True)) for pair in ((unpriced, left), (left, unpriced)))
    changed = [f"{formatting.count(n, 'call')} {word} a price" for n, word in ((won, "won"), (lost, "lost")) if n]
    if changed:
        say(f"{' and '.join(changed)}.")
    if len(left):
        say(f"{'Still without a price' if not lost else 'Without a price now'}: {formatting.count(len(left), 'call')}.")
