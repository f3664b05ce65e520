"""`hindcast demo`: the origin story end to end, on logs that a seeded generator writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.output import JsonOption, emit_json, named_store, note, progress, say

if TYPE_CHECKING:
    from replay.advice.spike_story import Story

DEMO_FOLDER = Path("demo")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def demo(
        serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the dashboard at the end.")] = True,
        folder: Annotated[Path, typer.Option("--dir", help="Where the logs and the store are written.")] = DEMO_FOLDER,
        seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the generated month of traffic.")] = 7,
        port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the dashboard.")] = 8501,
        as_json: JsonOption = False,
    ) -> None:
        """Show a generated log: its cost spike, the cause, three remedies.

        Example: hindcast demo --no-serve
        """
        store_path = build(folder, seed)
        story = tell(store_path)
        if as_json:
            emit_json(story.to_json())
        else:
            show(story, store_path)
        if serve and not as_json:
            from cli.share.dashboard import serve as serve_dashboard

            serve_dashboard(str(store_path.resolve()), port=port)


def build(folder: Path, seed: int) -> Path:
    """Generate the logs and ingest them; what is there already is taken once, so running again is quick."""
    import sample_logs.generate
    from analysis.ledger import ledger
    from ingest.pipeline.run import ingest
    from ingest.store.address import open_store

    store = open_store(folder / f"origin-story-{seed}.duckdb")
    logs = folder / f"logs-{seed}"
    note(f"Writing five weeks of a four-agent pipeline (seed {seed}) to {logs}")
    paths = sample_logs.generate.generate(logs, seed=seed)
    with progress("Ingesting") as bar:
        ingest(store, paths, progress=bar)
    ledger.update(store)
    return store.path


def tell(store_path: Path) -> Story:
    """Diagnose the spike and replay the strategies that come with the package."""
    import sample_logs
    from ingest.store.address import open_store
    from replay.advice import spike_story as story
    from replay.strategy.schema import load

    chosen = [load(path) for path in sample_logs.strategies()]
    with progress("Replaying", unit="strategies") as bar:
        bar.total(len(chosen))
        return story.tell(open_store(store_path), chosen, done=lambda _name: bar.advance(1))


def show(story: Story, store_path: Path) -> None:
    """The story in the terminal."""
    from decimal import Decimal

    from analysis.formatting import day, money
    from cli.costs import diagnose
    from cli.policies import replay
    from replay.advice.recommend import recommended

    say(
        f"Before: {money(story.before)} a day. From {day(story.spike_day)} on: {money(story.after)} a day.",
        style="bold",
    )
    say()
    diagnose.show(story.diagnosis, store=named_store(str(store_path)))
    say()
    replay.show(story.replay)
    best = recommended(story.replay.strategies)
    if best is not None:
        parts = " + ".join(f"{stage} {money(amount)}" for stage, amount in story.savings_per_day(best).items())
        say(f"Per day: {parts} = {money(Decimal(sum(story.savings_per_day(best).values())))} saved")
    say()
    say(f"Look closer: hindcast dashboard --store {store_path}")
