"""`hindcast verify`: after a rollout, the forecast beside the bill, and what the rollout changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.calendar_days import first_day
from cli.terminal.options import Since, Until, Where, selected_store, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from replay.evaluation.rollout_effects import Effect
    from replay.evaluation.rollout_monitor import Monitoring
    from replay.evaluation.verification import Verification

SHOWN_DAYS = 14


def register(app: typer.Typer) -> None:
    @app.command()
    def verify(
        strategy: Annotated[Path, typer.Argument(help="The strategy file that was rolled out.")],
        rollout: Annotated[
            date, typer.Option("--from", parser=first_day, metavar="DAY", help="The day of the rollout.")
        ],
        unit: Annotated[
            str | None,
            typer.Option(
                metavar="UNIT",
                help="What demand is counted in: conversation, trace, request, user, call, tag:KEY. "
                "Default: the first of the first three that nine calls in ten carry.",
            ),
        ] = None,
        control: Annotated[
            list[str] | None,
            typer.Option(metavar="DIM=VALUE", help="A segment that the rollout did not touch: agent=search."),
        ] = None,
        monitor: Annotated[
            bool, typer.Option("--monitor", help="The evidence of each day, and what to do. Exit code 1: roll back.")
        ] = False,
        since: Since = None,
        until: Until = None,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Compare the forecast of a rollout with the bill after it.

        Demand is counted in units that users ask for, so that more calls per unit show as a rebound. With a holdback
        (`arm` in the log) or a --control the effect is a comparison, else an interrupted time series.

        Example: hindcast verify combined.yaml --from 2024-03-20
        """
        from replay.evaluation import verify as check
        from replay.strategy.schema import load

        chosen = load(strategy)
        held = store_in_window(store, where, since, until, as_json=as_json)
        result = check.verify(
            held,
            chosen,
            rollout=rollout,
            since=since,
            until=until,
            unit=unit,
            control=selected_store(store, control) if control else None,
            monitored=monitor,
        )
        if as_json:
            emit_json(result.to_json())
        else:
            show_verification(result)
        if result.monitoring and result.monitoring.decision.action == "roll back":
            raise typer.Exit(1)


def show_verification(result: Verification) -> None:
    """The answer, the drifts that add up to the difference, and the effects with their intervals."""
    from analysis.formatting import count, money
    from analysis.money import dollars

    say(result.summary, style="bold")
    say(result.effect_summary)
    if result.monitoring:
        say(result.monitoring.summary, style="bold")
    say()
    rows = [
        [
            drift.segment,
            drift.cause,
            money(dollars(drift.amount_pico), sign=True),
            _figure(drift.before),
            _figure(drift.after),
        ]
        for drift in result.drifts[:12]
    ]
    rest = sum(drift.amount_pico for drift in result.drifts[12:])
    if rest or len(result.drifts) > 12:
        rows.append([f"{len(result.drifts) - 12} smaller", "", money(dollars(rest), sign=True), "", ""])
    if not result.obstacle:
        more = money(dollars(result.realised_pico - result.forecast_pico), sign=True)
        rows.append(["realised - forecast", "", more, "", ""])
        table(["segment", "what drifted", "usd", "forecast", "realised"], rows, left=(0, 1))
        say()
    if result.effects.effects:
        table(
            ["per unit", "without", "with", "change", "95 % interval", "seen from", "claim"],
            [_effect_row(one, result.unit) for one in result.effects.effects.values()],
        )
        control = f" against {count(result.control_units, result.unit)} in control" if result.control_units else ""
        say(
            f"{result.effects.design.capitalize()}{control}, {count(result.units_before, result.unit)} before and "
            f"{result.units_after:,} treated after. It assumes that {result.effects.assumes}.",
            style="dim",
        )
    if result.monitoring:
        say()
        _show_monitoring(result.monitoring)
    for text in result.notes:
        say(f"Cannot say: {text}" if "not in it" in text else f"Note: {text}", style="dim")


def _show_monitoring(found: Monitoring) -> None:
    """One row a day: the evidence that a limit is broken, by monitor, and the decision."""
    looks = found.looks[-SHOWN_DAYS:]
    names = list(dict.fromkeys(one.limit.measure for look in looks for one in look.evidence))
    rows = []
    for look in looks:
        by_name = {one.limit.measure: one for one in look.evidence}
        cells = []
        for name in names:
            one = by_name.get(name)
            cells.append("-" if one is None else f"{one.state} {_odds(one.harm)}:{_odds(one.keeping)}")
        rows.append([look.day.isoformat(), *cells, look.decision.action])
    table(["day", *names, "decision"], rows)
    say("broken:kept, as odds against chance; what is looked at every day needs no correction.", style="dim")
    for name, (low, high) in found.intervals.items():
        say(f"{name}: {low:.3g} to {high:.3g} times control, 95 % at all days at once", style="dim")


def _odds(value: float) -> str:
    from replay.rollout.monitors import MILLION

    return f"{value:.3g}" if value < MILLION else "1M+"


def _effect_row(one: Effect, unit: str) -> list[str]:
    from decimal import Decimal

    from analysis.formatting import money, share
    from replay.evaluation.rollout_effects import ANSWER, COST, DEMAND

    found = one.estimate
    name = {ANSWER: "answer tokens / call", DEMAND: f"{unit}s"}.get(one.measure, f"{one.measure} / {unit}")
    bounds = found.relative_interval()
    seen = found.detectable / found.without if found.without > 0 else None

    def figure(value: float) -> str:
        return money(Decimal(value).quantize(Decimal("1e-12"))) if one.measure == COST else f"{value:,.4g}"

    return [
        name, figure(found.without), figure(found.within), share(found.relative, sign=True),
        f"{share(bounds[0], sign=True)} to {share(bounds[1], sign=True)}" if bounds else "-",
        share(seen), "yes" if one.claimed else "no",
    ]  # fmt: skip


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
