"""`hindcast forecast`: the bill to come, and what prices, models and commitments would make of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import Where, selected_store
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, say, table

if TYPE_CHECKING:
    from analysis.forecast.bill_forecast import BillForecast
    from replay.scenario.outcome import Outcome

LABELS = {
    "requests_per_day": "{request}s a day",
    "calls_per_request": "calls per {request}",
    "tokens_per_call": "tokens per call",
    "usd_per_million_tokens": "USD per million tokens",
}


def register(app: typer.Typer) -> None:
    app.command()(forecast)


def forecast(
    growth: Annotated[
        str | None, typer.Option("--growth", help="Growth of requests instead of the fitted one: 5%/month, none.")
    ] = None,
    scenario: Annotated[
        Path | None,
        typer.Option(
            "--scenario", "--commit", metavar="FILE", help="YAML: growth, prices, models, throughput, batch, seats."
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model that workloads could move to. May be repeated.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a scenario file.")] = False,
    where: Where = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Forecast the bill of this month, the next and the next quarter.

    With the range that four of five such forecasts hold; what it is made of; what commitments and other models do.

    Example: hindcast forecast --growth 5%/month --scenario scenario.yaml
    """
    from cli.python_api.bill_forecast import worked_out
    from replay.scenario import schema as scenarios

    if schema:
        emit_json(scenarios.schema())
        return
    found = worked_out(selected_store(store, where), growth=growth, scenario=scenario, models=model or ())
    if as_json:
        emit_json(found.to_json())
        return
    _show(found)


def _show(found: Outcome) -> None:
    from analysis.formatting import money, share

    bill = found.forecast
    say(bill.summary, style="bold")
    say()
    changed = found.forecast is not found.unchanged
    rows = [
        [
            one.title, money(one.spent, symbol="") if one.spent else "-", money(one.expected, symbol=""),
            f"{money(one.low, symbol='')} to {money(one.high, symbol='')}",
            *([money(same.expected, symbol="")] if changed else []),
        ]
        for one, same in zip(bill.periods, found.unchanged.periods, strict=True)
    ]  # fmt: skip
    within = "of what has a price" if bill.partial else "four of five"
    table(["USD", "so far", "expected", within, *(["if nothing changes"] if changed else [])], rows)
    say()
    made_of = "what a day is made of" + (", by calls with a price" if bill.partial else "")
    table([made_of, "before", "now"], _factors(bill), left=(0,))
    say()
    for text in (*found.sentences(), *bill.remarks()):
        say(text)
    moving = [row for rows in found.moves for row in rows]
    if moving:
        from replay.advice.result_in_words import verdict

        say()
        rows = [
            [
                row.workload, row.model, *((_usd(saved[0]), f"{_usd(saved[1])} to "
                f"{_usd(saved[2])}") if (saved := row.saved()) else ("no price", "-")),
                share(row.result.saved_share), verdict(row.result),
            ]
            for row in moving
        ]  # fmt: skip
        table(["workload", "model", "saves a month", "range", "of the bill", "quality"], rows, left=(0, 1, 5))
    note("Next: hindcast report --for stakeholders   ·   hindcast forecast --schema")


def _factors(bill: BillForecast) -> list[list[str]]:
    from analysis.formatting import tokens

    def told(name: str, value: float | None) -> str:
        if value is None:
            return "-"
        if name == "usd_per_million_tokens":
            return _usd(value)
        return tokens(round(value)) if name == "tokens_per_call" else f"{value:,.1f}"

    first, last = bill.basis
    rows = [
        [LABELS[one.name].format(request=bill.request), told(one.name, one.before), told(one.name, one.now)]
        for one in bill.factors
    ]
    now = before = 1.0
    for one in bill.factors:
        now *= one.now
        before *= one.before if one.before is not None else 0.0
    known = all(one.before is not None for one in bill.factors)
    product = [f"USD a day, {first} to {last}", _usd(before / 1e6) if known else "-"]
    return [*rows, [*product, _usd(now / 1e6)]]


def _usd(amount: float) -> str:
    from decimal import Decimal

    from analysis.formatting import money

    return money(Decimal(amount), symbol="")
