"""`hindcast cost` and `hindcast reprice`."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.calendar_days import single_day
from cli.terminal.options import By, Since, Until, Where, choice, comma_separated, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, progress, say, table
from cli.terminal.row_files import RowsOption, write_rows

if TYPE_CHECKING:
    from analysis.ledger.ledger import LedgerSummary
    from analysis.reports.cost import CostReport
    from analysis.reports.unit_cost import UnitCosts
    from analysis.reports.unsure_costs import UnsureCosts
    from ingest.progress import Progress
    from ingest.store.database import Store


def _units() -> tuple[str, ...]:
    from analysis.reports.unit_cost import PER

    return PER


def register(app: typer.Typer) -> None:
    app.command()(cost)
    app.command()(reprice)


def cost(
    ctx: typer.Context,
    store: StoreOption = "hindcast.duckdb",
    by: By = "day,model",
    since: Since = None,
    until: Until = None,
    where: Where = None,
    per: Annotated[
        str | None, choice("--per", _units, "Dollars per conversation, trace, request, user, task or outcome (score).")
    ] = None,
    prices_of: Annotated[
        date | None,
        typer.Option(
            "--prices-of",
            parser=single_day,
            metavar="DAY",
            help="Price every call as on this day.",
        ),
    ] = None,
    components: Annotated[bool, typer.Option("--components", help="Split the cost by token kind.")] = False,
    top: Annotated[int, typer.Option("--top", min=0, help="Rows of the table; 0 for all.")] = 30,
    estimate_partial: Annotated[
        bool, typer.Option("--estimate-partial", help="Add a range for calls whose log does not tell what was billed.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if any call has no price.")] = False,
    output: RowsOption = None,
    json: JsonOption = False,
) -> None:
    """What the calls cost, by any dimension.

    Beside it the cost that the log itself states.

    Example: hindcast cost --by agent,model --since 2024-03-01
    """
    from analysis import formatting
    from analysis.dimensions import as_filter
    from analysis.reports.cost import cost as report_cost
    from analysis.reports.unit_cost import unit_costs
    from cli.python_api.costs import CostReport
    from ingest.errors import GateError

    keep = as_filter(where)
    held = store_in_window(store, None, since, until, as_json=json)
    if per is not None:
        told = getattr(ctx.get_parameter_source("by"), "name", "") != "DEFAULT"
        found = unit_costs(held, per, comma_separated(by) if told else (), since, until, keep)
        if json:
            emit_json(found.to_json())
        else:
            _show_units(found, top)
        return
    report = report_cost(
        held,
        comma_separated(by),
        since,
        until,
        keep,
        components=components,
        prices_of=prices_of,
    )
    unsure = None
    if estimate_partial:
        from analysis.reports.unsure_costs import unsure_costs

        unsure = unsure_costs(held, since, until, keep)
    if output is not None:
        write_rows(CostReport(report).to_frame(), output)
    elif json:
        emit_json({**report.to_json(), **({"unsure": unsure.to_json()} if unsure else {})})
    elif report.total["calls"]:
        _show(report, top)
        if unsure:
            _show_range(unsure)
    else:
        say(f"No call has {keep}." if keep else "The store holds no calls yet: hindcast ingest PATH")
    if strict and report.total["unpriced_calls"]:
        raise GateError(
            f"{formatting.count(report.total['unpriced_calls'], 'call')} without a price",
            remedy="Set prices with: hindcast prices set MODEL --input USD --output USD",
        )


def _show_units(found: UnitCosts, top: int) -> None:
    from analysis import formatting

    say(found.summary)
    if found.cut:
        say(
            f"{found.cut:,} of them began before these days or went on after them; what they cost there is in no "
            f"figure: a whole {found.per} costs more."
        )
    if found.inferred:
        say(f"Every {found.scope} carries one score: it is taken as the {found.scope}'s.")
    shown = found.rows[:top] if top else found.rows
    if shown:
        say()
        counted = ["outcomes"] if found.per == "outcome" else []
        table(
            [*found.by, "units", *counted, "calls", "cost", f"$ per {found.per}", "90 % interval"],
            [
                [
                    *(formatting.named(row[name]) for name in found.by),
                    f"{row['units']:,}",
                    *(f"{row[name]:,.1f}" for name in counted),
                    f"{row['calls']:,}",
                    formatting.money(row["cost_usd"]),
                    formatting.money(row["usd_per_unit"]) if row["usd_per_unit"] is not None else "-",
                    _ends(row),
                ]
                for row in shown
            ],
            left=tuple(range(len(found.by))),
        )
        if len(shown) < len(found.rows):
            say(f"... and {formatting.count(len(found.rows) - len(shown), 'more row')} (--top 0)")
    if found.total["left_out_calls"]:
        why = (
            "without a score, or of one with a call without a price"
            if found.per == "outcome"
            else (f"of no {found.per}, or of one with a call without a price")
        )
        say(f"Left out: {formatting.count(found.total['left_out_calls'], 'call')} {why}")


def _ends(row: dict[str, Any]) -> str:
    from analysis.formatting import money

    if row["low_usd"] is None:
        return "-"
    return f"{money(row['low_usd'])} to {'no end' if row['high_usd'] is None else money(row['high_usd'])}"


def _show(report: CostReport, top: int) -> None:
    from analysis import formatting

    total = report.total
    say(report.summary)
    say()
    tokens = {"input_tokens": "input", "cache_read_input_tokens": "cached", "output_tokens": "output"}
    split = {name: label for name, label in _COMPONENTS.items() if name in total}
    columns = {"calls": "calls", **(split or tokens)}
    columns["cost_usd"] = "cost"
    if total["logged_cost_usd"] is not None:
        columns["logged_cost_usd"] = "logged"
    if "effective_usd" in total:
        columns |= {"effective_usd": "effective", "list_over_effective": "list/eff."}
    if all(row.get("cache_read_input_tokens") is None for row in report.rows):
        columns.pop("cache_read_input_tokens", None)
    columns |= {"unpriced_calls": "unpriced"} if total["unpriced_calls"] else {}
    newest = _newest_first(report)
    shown = newest[:top] if top else newest
    table(
        [*report.by, *columns.values()],
        [
            [
                *(formatting.named(row[name]) for name in report.by),
                *(_cell(name, row.get(name), row) for name in columns),
            ]
            for row in shown
        ],
        left=tuple(range(len(report.by))),
        optional=[len(report.by) + list(columns).index(name) for name in _OPTIONAL if name in columns],
    )
    if len(shown) < len(report.rows):
        say(f"... and {formatting.count(len(report.rows) - len(shown), 'more row')} (--top 0)")
    say()
    _show_caveats(report)


def _newest_first(report: CostReport) -> list[dict[str, Any]]:
    """The rows with the newest times first, in a table that shows its first rows alone; the report has them upwards."""
    rows = report.rows
    for name in reversed([name for name in report.by if name in ("day", "week", "month", "hour")]):
        rows = sorted(rows, key=lambda row: (row[name] is not None, str(row[name])), reverse=True)
    return rows


def _cell(name: str, value: Any, row: dict[str, Any]) -> str:
    from analysis import formatting

    if name == "list_over_effective":
        known = row["cost_usd"] is not None and row["effective_usd"]
        return f"{row['cost_usd'] / row['effective_usd']:.2f} x" if known else "-"

    if name in ("calls", "unpriced_calls"):
        return f"{value:,}" if value or name == "calls" else "-"
    if not name.endswith("_usd"):
        return formatting.tokens(value)
    return "-" if value is None and name in ("logged_cost_usd", "effective_usd") else formatting.money(value)


# left out first where it is narrow
_OPTIONAL = ("list_over_effective", "cache_read_input_tokens", "output_tokens", "input_tokens")
_COMPONENTS = {
    "uncached_input_usd": "input $", "cache_read_usd": "cached $", "cache_write_usd": "write $",
    "output_usd": "output $", "reasoning_usd": "reasoning $", "other_usd": "other $",
}  # fmt: skip


def _show_caveats(report: CostReport) -> None:
    from analysis import formatting

    total = report.total
    if total["unpriced_calls"]:
        count = total["unpriced_calls"]
        without = formatting.tokens(total["unpriced_tokens"])
        say(f"Unpriced: {formatting.count(count, 'call')} with {without} tokens, in no sum above:")
        for row in report.unpriced[:8]:
            name = "/".join(part for part in (row["provider"], row["model"]) if part) or "(no model)"
            tier = f" '{row['tier']}'" if row["tier"] else ""
            say(f"  {row['calls']:>9,}  {row['cost_status'].replace('_', ' ')}{tier}: {name}")
        if len(report.unpriced) > 8:
            say(f"  ... and {len(report.unpriced) - 8} more (--by cost_status,model)")
    if total["fallback_calls"]:
        say(
            f"{formatting.count(total['fallback_calls'], 'call')} used a token kind or a date without a price "
            f"of its own, billed at the nearest one (--by cost_status)."
        )
    if total["estimated_calls"]:
        say(
            f"{formatting.count(total['estimated_calls'], 'call')} without logged usage priced on our own token counts."
        )
    _show_hidden_cache(report)
    if report.prices_of:
        say(f"Every call at the prices of {report.prices_of}.")
    if report.extended:
        first = ", ".join(f"of {row['model']} before {row['first_price']}" for row in report.extended[:3])
        more = f" and of {len(report.extended) - 3} more" if len(report.extended) > 3 else ""
        say(f"No price is known {first}{more}; the first one is used.")
    say(f"Prices: {report.price_book_version}   ·   Why a price: hindcast prices explain MODEL --at DATE")


def _show_range(unsure: UnsureCosts) -> None:
    from analysis import formatting

    if unsure.calls:
        low, high = formatting.money(unsure.low_usd), formatting.money(unsure.high_usd)
        calls = formatting.count(unsure.calls, "call")
        say(f"Beside it {low} to {high} for {calls} with ambiguous or partial usage, in no sum above.")
    if unsure.unknown:
        say(f"{formatting.count(unsure.unknown, 'call')} with ambiguous or partial usage and no text to count.")
    if not unsure.calls and not unsure.unknown:
        say("No call has ambiguous or partial usage.")


def _show_hidden_cache(report: CostReport) -> None:
    from analysis import formatting

    solved = [found for found in report.hidden_cache if found.accepted]
    if solved:
        say("The logged cost shows cache reads that the log does not count (effective = with them):")
    for found in solved:
        listed, logged = formatting.money(found.list_usd), formatting.money(found.logged_usd)
        say(
            f"  {found.model}: {found.with_cache:,} of {formatting.count(found.calls, 'call')}, "
            f"{formatting.tokens(found.cached_tokens)} tokens; "
            f"list {listed} is {found.factor:.2f} x the logged {logged}"
        )
    for found in report.hidden_cache:
        if not found.accepted and found.list_usd != found.logged_usd:
            say(
                f"  {found.model}: list {formatting.money(found.list_usd)}, "
                f"logged {formatting.money(found.logged_usd)}, and "
                f"cache reads do not explain it ({found.on_grid:,} of {formatting.count(found.calls, 'call')} on the "
                f"{found.grid}-token grid): probably another price. Set yours: "
                f"hindcast prices set '{found.model}' --input USD ..."
            )


def reprice(
    estimate_tokens: Annotated[
        bool, typer.Option("--estimate-tokens", help="Count the texts of calls that have no usage, and price them.")
    ] = False,
    on: Annotated[
        str | None, typer.Option("--on", metavar="ADDRESS", help="Of a lake: on the workers of this Dask scheduler.")
    ] = None,
    store: StoreOption = "hindcast.duckdb",
    json: JsonOption = False,
) -> None:
    """Rebuild the ledger with today's prices and your overrides. The calls stay as they are.

    Example: hindcast reprice
    """
    from analysis import formatting
    from analysis.ledger.update import update
    from analysis.reports.lake_cells import keep_rollups
    from ingest.store.address import open_store

    handle = open_store(store)
    handle.upgrade()
    with handle.read():  # a clear error where there is no store
        pass
    estimates = None
    if estimate_tokens:
        from analysis.ledger.token_estimates import estimate

        with progress("counting tokens", unit="texts") as bar:
            estimates = estimate(handle, bar)
    with progress("repricing", unit="calls") as bar:
        summary = update(handle, progress=bar, rebuild=True) if on is None else _on_cluster(handle, on, bar)
    keep_rollups(handle)
    if json:
        emit_json({**summary.to_json(), **({"estimates": estimates.to_json()} if estimates else {})})
        return
    say(f"{formatting.count(summary.calls, 'call')}, now {formatting.money(summary.cost_usd)}.")
    if summary.unpriced_calls:
        say(f"{formatting.count(summary.unpriced_calls, 'call')} without a price.")
    if estimates is not None:
        say(
            f"Of the calls without usage {estimates.exact:,} were counted exactly, {estimates.estimated:,} estimated; "
            f"{estimates.unknown:,} stay unknown (no text, or an answer with hidden reasoning)."
        )
        for item in estimates.factors:
            origin = (
                f"from {formatting.count(item.calls, 'call')} of yours" if item.calls else "a default of its family"
            )
            say(f"  {item.model}: {item.factor:.3f} tokens per o200k token, +-{100 * item.spread:.0f} %, {origin}")
    say(f"Prices: {summary.price_book_version}")


def _on_cluster(store: Store, address: str, progress: Progress) -> LedgerSummary:
    from analysis.ledger.lake_pricing import update_lake
    from ingest.errors import InputError
    from ingest.lake.executors import executor
    from ingest.store.address import is_lake

    if not is_lake(store.address):
        raise InputError("--on prices a lake, not a file", remedy="Without it: hindcast reprice")
    with executor(address, 1) as workers:
        return update_lake(store, executor=workers, progress=progress, rebuild=True)
