"""`hindcast batch` and `hindcast breakeven`: calls that could wait, and calls that a server of your own could take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.options import POSITIVE, Since, Until, Where, amount, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table


def register(app: typer.Typer) -> None:
    @app.command()
    def batch(
        since: Since = None,
        until: Until = None,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Which calls could run as a batch, and what that would save.

        At the batch price of each call's day.

        Example: hindcast batch --since 2024-03-05
        """
        from analysis.formatting import money, share
        from analysis.money import dollars
        from replay.advice.batch_candidates import candidates

        held = store_in_window(store, where, since, until, as_json=as_json)
        rows = candidates(held, since=since, until=until)
        if as_json:
            emit_json([row.to_json() for row in rows])
            return
        free, chains = sum(row.idle_pico for row in rows), sum(row.chains_pico for row in rows)
        if not any(row.saving_pico for row in rows):
            say("No model of this window has a batch price: nothing could be saved by waiting.", style="bold")
        else:
            more = f"; chains that no user waits for {money(dollars(chains))} more" if chains else ""
            say(f"Calls that no agent continued from would save {money(dollars(free))} as a batch{more}.", style="bold")
        say()
        table(
            ["agent / task", "calls", "user waits", "continued by agent", "cost", "cost if all batched", "batch price"],
            [
                [
                    row.segment,
                    f"{row.calls:,}",
                    "unknown" if row.unsure == 1 else share(row.users),
                    share(row.waited),
                    money(dollars(row.cost_pico), symbol=""),
                    money(dollars(-row.saving_pico), sign=True) if row.sold else "-",
                    share(row.sold),
                ]
                for row in rows[:20]
            ],
            optional=(3, 6),
        )
        if len(rows) > 20:
            say(f"{len(rows) - 20} more: --json", style="dim")
        say("Continued by agent: streamed, or the next call of its conversation began within a minute.", style="dim")
        say("User waits: inferred from streams, tiers, users' turns and cadence.", style="dim")
        say("Next: batch: [{match: {agent: ..., online: false}}] in a strategy, and replay it.")

    @app.command()
    def breakeven(
        strategy: Annotated[
            Path, typer.Argument(help="The strategy file whose rules choose the calls that would move.")
        ],
        usd_per_hour: Annotated[str, typer.Option(callback=amount, help="What one server costs.")],
        tokens_per_second: Annotated[
            float, typer.Option(callback=POSITIVE, help="What one server serves, in and out together.")
        ],
        fixed: Annotated[str, typer.Option(callback=amount, help="Dollars a day on top, as for fine-tuning.")] = "0",
        since: Since = None,
        until: Until = None,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Compare self-hosted servers with the API for the same calls.

        Example: hindcast breakeven routed.yaml --usd-per-hour 2.50 --tokens-per-second 4000
        """
        from decimal import Decimal

        from analysis.formatting import count, money, share
        from replay.advice.self_hosting import break_even
        from replay.strategy.schema import load

        chosen = load(strategy)
        held = store_in_window(store, where, since, until, as_json=as_json)
        found = break_even(
            held,
            chosen,
            usd_per_hour=Decimal(usd_per_hour),
            tokens_per_second=tokens_per_second,
            fixed_usd_per_day=Decimal(fixed),
            since=since,
            until=until,
        )
        if as_json:
            emit_json(found.to_json())
            return
        verb = "cheaper" if found.worth_it else "more expensive"
        say(
            f"{count(found.servers, 'server')} at {money(found.hosting_per_day)} a day: {verb}"
            f" than the {money(found.api_per_day)} a day that {found.calls_per_day:,.0f} calls cost now.",
            style="bold",
        )
        if found.break_even_calls is not None:
            busy = f"the servers would be busy {share(found.utilisation)} of the day"
            say(f"Both cost the same at {found.break_even_calls:,.0f} calls a day with these servers; {busy}.")
        say()
        table(
            ["calls a day", "now", "servers", "hosted", "cheaper"],
            [
                [
                    f"{one.calls_per_day:,.0f}",
                    money(one.api_per_day, symbol=""),
                    f"{one.servers:,}",
                    money(one.hosting_per_day, symbol=""),
                    "hosted" if one.hosting_per_day < one.api_per_day else "now",
                ]
                for one in found.volumes
            ],
            left=(4,),
        )
        say("Their quality is a question of its own: hindcast shadow scores the model on a sample.")
