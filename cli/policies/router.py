"""`hindcast router`: what a learned router between two models would be worth, beside what is simpler."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.terminal.options import SHARE, Where, selected_store
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table


def register(app: typer.Typer) -> None:
    @app.command()
    def router(
        strong: Annotated[str, typer.Option(help="The better, more expensive model.")],
        weak: Annotated[str, typer.Option(help="The cheaper model.")],
        quality: Annotated[
            float, typer.Option(callback=SHARE, help="The share of the strong model's quality to reach.")
        ] = 0.95,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Compare a learned router with simpler ways to route.

        They are a random mix, prompt length, a table of tasks, and an oracle that no router can beat.

        Example: hindcast router --strong gpt-4-turbo --weak gpt-3.5-turbo
        """
        from analysis.formatting import count, share
        from replay.optimize import learned_router as learned

        outcomes = learned.outcomes_of(selected_store(store, where), strong, weak)
        rows = learned.compare(outcomes, share=quality)
        better = rows[0].apgr is not None
        if as_json:
            emit_json(
                {
                    "strong": strong,
                    "weak": weak,
                    "calls": len(outcomes),
                    "quality": quality,
                    "routers": [
                        {
                            "name": row.name,
                            "apgr": row.apgr,
                            "apgr_low": row.apgr_low,
                            "apgr_high": row.apgr_high,
                            "cost_share": row.cost_at,
                        }
                        for row in rows
                    ],
                }
            )
            return
        scored = count(len(outcomes), "scored call")
        best = min(
            (row for row in rows[:-1] if row.cost_at is not None), key=lambda row: row.cost_at or 0.0, default=None
        )
        if not better:
            say(f"{strong} is not better than {weak} on {scored}: use the cheaper.", style="bold")
        elif best is not None:
            say(
                f"'{best.name}' reaches {share(quality)} of {strong} for {share(best.cost_at)} of its cost"
                f" ({scored}, cross-validated).",
                style="bold",
            )
        say()
        table(
            ["router", f"cost at {share(quality)}", "APGR", "90 % interval"],
            [
                [row.name, share(row.cost_at), "-" if row.apgr is None else f"{row.apgr:.3f}",
                 "-" if row.apgr_low is None else f"{row.apgr_low:.3f} to {row.apgr_high:.3f}"]
                for row in rows
            ],
        )  # fmt: skip
        say("A table of tasks is a strategy file: hindcast optimize writes it.")
