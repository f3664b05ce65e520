"""`hindcast optimize`: the cheapest policy that is shown to keep a quality floor, written as a strategy file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import FLOOR, POSITIVE, Since, Until, Where, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, note, progress, say, table

if TYPE_CHECKING:
    from replay.optimize.optimum import Optimum, Point

ASSIGNED_SHOWN = 60  # groups of the assignment that a terminal gets


def register(app: typer.Typer) -> None:
    @app.command()
    def optimize(
        quality_floor: Annotated[
            float, typer.Option(callback=FLOOR, help="Minimum quality, as a share of the logged one.")
        ] = 0.95,
        models: Annotated[
            str | None, typer.Option(help="Candidate models, comma-separated (default: all with scores).")
        ] = None,
        base: Annotated[Path | None, typer.Option(help="A strategy whose cache and compression to try too.")] = None,
        scores: Annotated[Path | None, typer.Option(help="A table of your own: task, model, quality, n.")] = None,
        task_floor: Annotated[list[str] | None, typer.Option(help="A floor for one task: draft=0.98")] = None,
        max_models: Annotated[
            int | None, typer.Option(min=1, max=1000, help="Maximum number of models besides the logged ones.")
        ] = None,
        latency_p95: Annotated[
            float | None, typer.Option(callback=POSITIVE, help="Leave out models with a p95 latency above this, in ms.")
        ] = None,
        by_template: Annotated[
            bool, typer.Option(help="Choose a model per prompt template, not only per task.")
        ] = False,
        since: Since = None,
        until: Until = None,
        where: Where = None,
        output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the strategy.")] = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Find the cheapest strategy that keeps a quality floor.

        A model per task, with a cache and compression.

        Example: hindcast optimize --quality-floor 0.95 --since 2024-03-05 -o optimized.yaml
        """
        from replay.optimize.search import optimize
        from replay.optimize.write_strategy import written
        from replay.quality.scores import load_priors
        from replay.strategy import schema

        held = store_in_window(store, where, since, until, as_json=as_json)
        with progress("Trying policies", unit="policies") as bar:
            found = optimize(
                held,
                floor=quality_floor,
                models=[name.strip() for name in models.split(",")] if models else None,
                since=since,
                until=until,
                base=schema.load(base) if base else None,
                per_task=_floors(task_floor or []),
                max_models=max_models,
                latency_p95_ms=latency_p95,
                priors=load_priors(scores) if scores else None,
                name=output.stem if output else "optimized",
                by_template=by_template,
                done=lambda _label: bar.advance(1),
            )
        text = written(found.strategy, _heading(found))
        if output:
            output.write_text(text, encoding="utf-8")
        if as_json:
            emit_json(found.to_json())
            return
        show(found)
        say()
        if output:
            say(f"Written to {output}. Next: hindcast backtest {output} --split DAY --store {store}")
        else:
            note("Not written: give -o FILE to keep it as a strategy file.")
            say(text)


def _floors(texts: list[str]) -> dict[str, float]:
    from ingest.errors import InputError

    floors = {}
    for text in texts:
        task, _, value = text.rpartition("=")
        try:
            floors[task] = float(value)
        except ValueError:
            floors[task] = -1
        if not task or not 0 <= floors[task] <= 2:
            raise InputError(f"--task-floor {text} is not TASK=FLOOR", remedy="As in: --task-floor draft=0.98")
    return floors


def _heading(found: Optimum) -> list[str]:
    from analysis.formatting import money, share
    from analysis.money import dollars

    return [
        f"{money(dollars(found.cost_pico))} instead of {money(dollars(found.baseline_pico))} over the window it was"
        f" chosen on ({share(found.saved_share)} saved).",
        f"Quality: lower 90 % bound {found.report.lower_90:.3f} of the logged, floor {found.report.floor:g}."
        if found.report.lower_90 is not None
        else "Quality: no evidence.",
    ]


def show(found: Optimum) -> None:
    """The answer, the assignment that makes it, and the front it was chosen from."""
    from analysis.formatting import money
    from analysis.money import dollars
    from replay.optimize.write_strategy import KEEP

    say(found.summary, style="bold")
    say()
    assigned = list(found.assignment)
    if len(assigned) > ASSIGNED_SHOWN:
        assigned = sorted(assigned, key=lambda one: one[1] == KEEP)[:ASSIGNED_SHOWN]
    split = any(group.by_template for group, _, _ in found.assignment)
    rows = [
        [group.agent or "-", group.task or "-", *([group.template or "-"] if split else []), model, evidence]
        for group, model, evidence in assigned
    ]
    names = ["agent", "task", *(["template"] if split else []), "model", "evidence"]
    table(names, rows, left=tuple(range(len(names))))
    if (left := len(found.assignment) - len(rows)) > 0:
        say(f"{left:,} more groups, with --json. Those that move stand first.")
    say()
    say("Cost-quality frontier (lower bounds; each row is a whole strategy):")
    table(
        ["usd over the window", "quality at least", "with"],
        [
            [money(dollars(point.cost_pico), symbol=""), f"{point.quality_lower:.3f}", point.knobs]
            for point in _spread(list(found.front), 12)
        ],
        left=(2,),
    )
    for text in found.notes:
        say(f"Cannot say: {text}", style="dim")


def _spread(points: list[Point], most: int) -> list[Point]:
    """At most `most` of the points, evenly."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
