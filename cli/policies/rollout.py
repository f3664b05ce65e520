"""`hindcast rollout plan`: how much to hold back, and for how long, so that a rollout can be judged."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import Since, Until, Where, between, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from replay.evaluation.holdback_plan import Plan


class Measure(StrEnum):
    COST = "cost"
    QUALITY = "quality"


def fraction(text: str | float) -> float:
    """`5%`, `5 %` or `0.05` as .05. Raises InputError for what is neither, or is not above 0 and below 1."""
    from ingest.errors import InputError

    given = str(text).strip()
    try:
        bare = given.removesuffix("%")
        value = float(bare) / (100 if bare != given else 1)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise InputError(f"'{text}' is not a share between 0 and 1", remedy="As in: 5% or 0.05")
    return value


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Plan a rollout that can be judged.", no_args_is_help=True)

    @group.callback()
    def rollout() -> None:
        """Plan a rollout that can be judged."""

    @group.command()
    def plan(
        strategy: Annotated[Path, typer.Argument(help="The strategy file to roll out.")],
        effect: Annotated[
            float, typer.Option(parser=fraction, metavar="SHARE", help="The change per unit to be seen: 5% or 0.05.")
        ] = 0.05,
        power: Annotated[
            float, typer.Option(parser=fraction, metavar="SHARE", help="How likely it is to be seen: 0.8.")
        ] = 0.8,
        days: Annotated[int, typer.Option(callback=between(1, 365), help="Days to wait at most.")] = 14,
        draw: Annotated[
            str | None,
            typer.Option(metavar="UNIT", help="What gets an arm: conversation, user, ... Default: the unit of demand."),
        ] = None,
        unit: Annotated[
            str | None, typer.Option(metavar="UNIT", help="What demand is counted in, as in hindcast verify.")
        ] = None,
        measure: Annotated[
            list[Measure] | None, typer.Option(help="What must show the change. Default: cost, and quality if scored.")
        ] = None,
        seed: Annotated[int | None, typer.Option(help="Of the draw. Default: from the strategy's name.")] = None,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", help="Write the strategy with its rollout block here.")
        ] = None,
        since: Since = None,
        until: Until = None,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Size a holdback: which share, for how many days.

        By the spread of the logged units: the smaller the effect to be seen, the more must be held back, or the longer.

        Example: hindcast rollout plan combined.yaml --effect 5% --power 0.8 -o rollout.yaml
        """
        from ingest.errors import InputError
        from replay.evaluation import holdback_plan
        from replay.strategy.rollout_schema import written
        from replay.strategy.schema import load

        chosen = load(strategy)
        held = store_in_window(store, where, since, until, as_json=as_json)
        found = holdback_plan.plan(
            held,
            chosen,
            effect=effect,
            power=power,
            days=days,
            drawn=draw,
            unit=unit,
            only=[one.value for one in measure] if measure else holdback_plan.MEASURES,
            seed=seed,
            since=since,
            until=until,
        )
        if as_json:
            emit_json(found.to_json())
        else:
            show_plan(found)
        if output is None:
            return
        if found.rollout is None:
            raise InputError(
                f"{output} is not written: no holdback shows such an effect",
                remedy="Allow a larger --effect or more --days.",
            )
        output.write_text(written(strategy.read_text("utf-8"), found.rollout), "utf-8")
        load(output)
        if not as_json:
            say(f"Written: {output}. Next: hindcast export litellm {output}", style="dim")

    app.add_typer(group, name="rollout")


def show_plan(found: Plan) -> None:
    """The plan, and the alternatives by days."""
    from analysis.formatting import count, share

    say(found.summary, style="bold")
    say()
    table(
        ["days", "hold back", *[f"seen in {name}" for name in found.means]],
        [
            [
                f"{size.days}",
                "more than half" if size.holdback is None else share(size.holdback),
                *[share(size.detectable[name]) if size.detectable[name] < 10 else "-" for name in found.means],
            ]
            for size in found.sizes
        ],
        left=(),
    )
    say(f"{count(round(found.per_day), found.drawn)} a day in the log.", style="dim")
    if found.rollout:
        block = found.rollout
        say(f"rollout: {{share: {block.share:g}, unit: '{block.unit}', seed: {block.seed}}}")
