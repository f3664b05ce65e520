"""`hindcast rollout`: how much to hold back so that a rollout can be judged, and a ramp that goes on by evidence."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal.options import Since, Until, Where, between, selected_store, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from replay.evaluation.holdback_plan import Plan
    from replay.evaluation.ramp_progress import Progress, Repeated


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


def shares(text: str | tuple[float, ...]) -> tuple[float, ...]:
    """`1%,5%,25%,100%` as (.01, .05, .25, 1). Raises InputError for what is none, or does not rise."""
    from itertools import pairwise

    from ingest.errors import InputError

    if isinstance(text, tuple):
        return text
    parts = [part.strip() for part in text.split(",")]
    found = tuple(1.0 if part in ("100%", "100 %", "1", "1.0") else fraction(part) for part in parts)
    if any(later <= earlier for earlier, later in pairwise(found)):
        raise InputError(f"the shares '{text}' do not rise", remedy="As in: 1%,5%,25%,100%")
    return found


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Plan a rollout that can be judged, and let it go on by evidence.", no_args_is_help=True)

    @group.callback()
    def rollout() -> None:
        """Plan a rollout that can be judged, and let it go on by evidence."""

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
        ramp: Annotated[
            Any,
            typer.Option(parser=shares, metavar="SHARES", help="Begin with the first of these: 1%,5%,25%,100%."),
        ] = None,
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
        block = found.rollout.model_copy(update={"share": ramp[0], "ramp": ramp}) if ramp else found.rollout
        output.write_text(written(strategy.read_text("utf-8"), block), "utf-8")
        load(output)
        if not as_json:
            follows = f"rollout advance {output}, once a day" if ramp else f"export litellm {output}"
            say(f"Written: {output}. Next: hindcast {follows}", style="dim")

    @group.command()
    def advance(
        strategy: Annotated[Path, typer.Argument(help="The strategy file whose rollout has a ramp.")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Take the next step of a ramp if the log allows it, or roll back. Exit code 1: rolled back now.

        Quality, cost per unit, errors and latency of the treated are held against those of the held back, on the days
        that are over. The share is written into the file, which running programs read again; the step and its evidence
        go into the journal beside it. Ingest the log first.

        Example: hindcast rollout advance rollout.yaml
        """
        from replay.evaluation import ramp_progress

        found = ramp_progress.advance(selected_store(store, where), strategy, write=not dry_run)
        if as_json:
            emit_json(found.to_json())
        else:
            show_progress(found)
        if found.action == "roll back":
            raise typer.Exit(1)

    @group.command()
    def history(
        strategy: Annotated[Path, typer.Argument(help="The strategy file whose rollout has a ramp.")],
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """The steps of a ramp, and why they were taken.

        Each is decided again by the log as it is now.

        Example: hindcast rollout history rollout.yaml
        """
        from replay.evaluation import ramp_progress

        found = ramp_progress.history(selected_store(store, where), strategy)
        if as_json:
            emit_json({"steps": [one.to_json() for one in found]})
        else:
            show_history(found)

    app.add_typer(group, name="rollout")


def show_plan(found: Plan) -> None:
    """The plan, and the alternatives by days."""
    from analysis.formatting import count, share
    from replay.strategy.rollout_schema import line_of

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
        say(line_of(found.rollout))


def show_progress(found: Progress) -> None:
    """What was decided, and the evidence as of the last day that is over."""
    from replay.rollout.monitors import MILLION

    say(found.summary, style="bold")
    if found.found.evidence:
        say()
        table(
            ["monitor", "treated", "control", "limit", "broken", "kept", "state"],
            [
                [
                    one.limit.measure, f"{one.treated_mean:.4g}", f"{one.control_mean:.4g}", one.limit.words,
                    *[f"{odds:.3g}" if odds < MILLION else "1M+" for odds in (one.harm, one.keeping)], one.state,
                ]
                for one in found.found.evidence
            ],
            left=(0, 3, 6),
        )  # fmt: skip
        say("broken, kept: odds against chance, however often one looks.", style="dim")


def show_history(found: Sequence[Repeated]) -> None:
    """One row a step, oldest first."""
    if not found:
        say("No step was taken yet. Next: hindcast rollout advance")
        return
    table(
        ["last day judged", "step", "share", "units", "why", "the log now"],
        [
            [
                one.step.judged.isoformat() if one.step.judged else "-", one.step.action,
                f"{one.step.before:g} -> {one.step.share:g}", f"{one.step.units:,}", one.step.why, _again(one),
            ]
            for one in found
        ],
        left=(0, 1, 4, 5),
    )  # fmt: skip


def _again(one: Repeated) -> str:
    if one.again is None:
        return "-"
    if not one.same_decision:
        return f"says {one.again.decision.action}"
    return "the same" if one.same_figures else "the same, on other figures"
