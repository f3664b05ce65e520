"""`hindcast shadow`: ask another model a sample of the logged questions, under a budget, and judge it blind."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal.options import Where, selected_store
from cli.terminal.output import JsonOption, StoreOption, emit_json, note, progress, say

if TYPE_CHECKING:
    from replay.shadow.run import Plan, Result


def register(app: typer.Typer) -> None:
    @app.command()
    def shadow(
        model: Annotated[str, typer.Option(help="The model to ask.")],
        budget: Annotated[
            str,
            typer.Option(help="Most to spend, in US dollars."),
        ],
        judge: Annotated[
            str | None, typer.Option(help="The model that scores (default: only lengths are compared).")
        ] = None,
        calls: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many calls to sample.")] = 200,
        task: Annotated[str | None, typer.Option(help="Only calls of this task.")] = None,
        base_url: Annotated[
            str | None, typer.Option(envvar="OPENAI_BASE_URL", help="Any OpenAI-compatible endpoint.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the sample.")] = 0,
        journal: Annotated[Path | None, typer.Option(help="Where the run is recorded, and resumed from.")] = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Score another model on a sample of the calls, under a budget.

        The sample is stratified by task, the answers are judged blind.

        Example: hindcast shadow --model gpt-4o-mini --judge gpt-4o --budget 1.50 --calls 200
        """
        import sys

        from ingest.errors import InputError
        from replay.shadow import run as sample

        limit = _pico(budget)
        chosen = sample.plan(selected_store(store, where), model, calls=calls, judge_model=judge, task=task, seed=seed)
        path = journal or Path(f"{store}.shadow-{_slug(model)}-{seed}.jsonl")
        note(_question(chosen, limit, path))
        if not yes:
            if not sys.stdin.isatty():
                raise InputError(
                    "this costs money, and without a terminal nobody can confirm it", remedy="Add --yes to go ahead."
                )
            if not typer.confirm("Go ahead?", err=True):
                raise typer.Exit(0)
        with progress("Asking", unit="calls") as bar:
            bar.total(len(chosen.questions))
            result = sample.run(
                selected_store(store, where),
                chosen,
                _client(base_url),
                path,
                budget=limit,
                done=lambda count: bar.advance(count),
            )
        if as_json:
            emit_json({**result.to_json(), "journal": str(path)})
        else:
            show(result)


def _client(base_url: str | None) -> Any:
    import os

    from replay.shadow import endpoint

    return endpoint.client(base_url, os.environ.get("OPENAI_API_KEY"))


def _pico(text: str) -> int:
    from ingest.errors import InputError

    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0 or amount >= 1_000_000:
        raise InputError(f"--budget {text} is not an amount of dollars", remedy="As in: --budget 1.50")
    return int(amount * 10**12)


def _slug(model: str) -> str:
    return "".join(char if char.isalnum() or char in "-." else "-" for char in model)


def _question(chosen: Plan, limit: int, path: Path) -> str:
    from analysis.formatting import count, money
    from analysis.money import dollars

    judged = f", judged by {chosen.judge} in both orders" if chosen.judge else ", not judged"
    skipped = count(chosen.skipped, "call")
    left = f" Not to be asked again (no text, tools or images): {skipped}." if chosen.skipped else ""
    return (
        f"{count(len(chosen.questions), 'call')} of {count(len(chosen.strata), 'task')} to {chosen.model}{judged}."
        f"{left}\n"
        f"Expected {money(dollars(chosen.expected))}, at most {money(dollars(chosen.most))};"
        f" it stops before {money(dollars(limit))}. Recorded in {path}: run it again to resume."
    )


def show(result: Result) -> None:
    """What was found, what it cost, and what it does not say."""
    from analysis.formatting import count, money
    from analysis.money import dollars

    spent = money(dollars(result.spent))
    if result.candidate is not None and result.logged is not None:
        ratio = result.candidate.mean / result.logged.mean if result.logged.mean else float("nan")
        say(
            f"{result.plan.model} scores {result.candidate.mean:.3f} ({result.candidate.low:.3f}-"
            f"{result.candidate.high:.3f}), the logged answers {result.logged.mean:.3f}: {ratio:.2f} of them,"
            f" on {count(result.judged, 'call')} for {spent}.",
            style="bold",
        )
    else:
        say(f"{count(result.answered, 'answer')} of {result.plan.model} for {spent}; none judged.", style="bold")
    if result.length_ratio is not None:
        say(f"Its answers are {result.length_ratio:.2f} times as long.")
    for number, text in (
        (result.failed, "refused after all retries, at no cost"),
        (result.unusable, "answered with nothing usable: counted as paid at the worst case"),
        (result.lost, "sent without a recorded answer: counted as paid, not sent again"),
    ):
        if number:
            say(f"{count(number, 'call')} {text}", style="yellow")
    if result.stopped:
        say(f"Stopped early: {result.stopped}.", style="yellow")
    say("A judge's score is not task success. Next: hindcast replay STRATEGY.yaml, which now knows these scores.")
