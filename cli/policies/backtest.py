"""`hindcast backtest`: a forecast beside what happened on days that it has not seen."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.calendar_days import first_day
from cli.terminal.options import FLOOR, Since, Until, Where, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, progress, say, table

if TYPE_CHECKING:
    from replay.evaluation.backtest import Backtest


def register(app: typer.Typer) -> None:
    @app.command()
    def backtest(
        split: Annotated[
            date, typer.Option("--split", parser=first_day, metavar="DAY", help="The first day that is held out.")
        ],
        strategy: Annotated[
            Path | None, typer.Argument(help="The strategy file (default: the optimizer chooses).")
        ] = None,
        quality_floor: Annotated[
            float, typer.Option(callback=FLOOR, help="The floor, if the optimizer chooses.")
        ] = 0.95,
        scores: Annotated[Path | None, typer.Option(help="A table of your own: task, model, quality, n.")] = None,
        since: Since = None,
        until: Until = None,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Score a strategy's forecast on held-out days.

        The strategy is given, or optimized on the days before SPLIT; the days from SPLIT on are held out.

        Example: hindcast backtest combined.yaml --split 2024-03-08 --since 2024-03-05
        """
        from datetime import timedelta

        from replay.evaluation import backtest as held_out
        from replay.optimize.search import optimize
        from replay.quality.scores import load_priors
        from replay.strategy.schema import load

        priors = load_priors(scores) if scores else None
        held = store_in_window(store, where, since, until, as_json=as_json)
        with progress("Backtesting", unit="policies") as bar:
            if strategy is not None:
                chosen = load(strategy)
            else:
                before = split - timedelta(days=1)
                chosen = optimize(
                    held,
                    floor=quality_floor,
                    since=since,
                    until=before,
                    priors=priors,
                    done=lambda _label: bar.advance(1),
                ).strategy
            result = held_out.backtest(
                held,
                chosen,
                split=split,
                since=since,
                until=until,
                priors=priors,
            )
        if as_json:
            emit_json({**result.to_json(), "strategy": chosen.document()})
        else:
            show_backtest(result)


def show_backtest(result: Backtest) -> None:
    """Whether the forecast held, day by day."""
    from analysis.formatting import count, day, money
    from analysis.money import dollars

    say(result.summary, style="bold")
    say()
    table(
        ["day", "logged", "forecast", "realised"],
        [
            [day(when), *(money(dollars(amount), symbol="") for amount in (logged, forecast, realised))]
            for when, logged, forecast, realised in result.daily
        ],
    )
    say()
    told, real = result.expected_quality, result.realised_quality
    say(
        f"Quality: {_ratio(told.mean_ratio)} of logged on the {count(result.known_days, 'day')} before"
        f" (bound {_ratio(told.lower_90)}, {told.verdict} {told.floor:g});"
        f" {_ratio(real.mean_ratio)} on the held-out days (bound {_ratio(real.lower_90)}, {real.verdict})."
    )
    if result.new_segments:
        say(f"New since the split, forecast at the overall rate: {', '.join(result.new_segments)}", style="yellow")


def _ratio(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
