"""`hindcast replay`: what the logged traffic would have cost under other policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import Since, Until, Where, report_empty_window, selected_store
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress, say, table
from cli.terminal.row_files import RowsOption, write_rows

if TYPE_CHECKING:
    from replay.engine.run import Replay


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def replay(
        strategies: Annotated[list[Path], typer.Argument(help="Strategy files (YAML).", show_default=False)],
        since: Since = None,
        until: Until = None,
        where: Where = None,
        cold: Annotated[bool, typer.Option("--cold", help="Start with empty caches.")] = False,
        scores: Annotated[Path | None, typer.Option(help="A table of your own: task, model, quality, n.")] = None,
        output: RowsOption = None,
        store: StoreOption = DEFAULT_STORE,
        as_json: JsonOption = False,
    ) -> None:
        """What the logged traffic would cost under other strategies.

        With hit rate, savings by stage and a quality verdict.

        Example: hindcast replay routed.yaml combined.yaml --since 2024-03-05
        """
        from cli.python_api.strategies import strategy_rows
        from replay.engine.run import run
        from replay.quality.scores import load_priors
        from replay.strategy.schema import load_all

        chosen = [one for _, one in load_all(strategies)]
        if report_empty_window(store, since, until, as_json=as_json):
            return
        with progress("Replaying", unit="strategies") as bar:
            bar.total(len(chosen))
            result = run(
                selected_store(store, where),
                chosen,
                since=since,
                until=until,
                cold=cold,
                scores=load_priors(scores) if scores else None,
                done=lambda _name: bar.advance(1),
            )
        if output is not None:
            write_rows(strategy_rows(result), output)
        elif as_json:
            emit_json(result.to_json())
        else:
            show(result)


def show(result: Replay) -> None:
    """The answer, the table that proves it, where the saving comes from, and what cannot be said."""
    from decimal import Decimal

    from analysis.formatting import count, money, share
    from analysis.money import dollars
    from replay.advice.recommend import common_floor, recommended
    from replay.advice.result_in_words import cost_text, quality_text, sentence, verdict

    if not result.daily:
        say("No calls with a time in this window: nothing to replay.")
        return
    best = recommended(result.strategies)
    if best is not None:
        say(sentence(best), style="bold")
        say()
    unit = "usd/day" if result.whole_days else "usd/day*"
    rows = []
    if all(entry.savings_pico for entry in result.strategies):  # none of them is the identity: show what was logged
        rows.append(["logged", _plain(result.per_day()), "-", "-", "1.00", "baseline"])
    for entry in result.strategies:
        if not entry.savings_pico:
            rows.append([entry.name, cost_text(entry), "-", "-", quality_text(entry), "baseline"])
            continue
        rows.append(
            [
                entry.name,
                cost_text(entry),
                share(entry.saved_share),
                share(entry.hit_rate) if entry.tier_hits else "-",
                quality_text(entry),
                verdict(entry),
            ]
        )
    table(["strategy", unit, "saved", "hit rate", "quality (90 % lower)", "verdict"], rows, left=(0, 5))
    if not result.whole_days:
        say("* no complete day in the window; mean over the days that have calls", style="dim")
    elif result.idle_days:
        say(f"usd/day: {result.mean_of()}", style="dim")
    if best is not None and best.savings_pico and best.priced_calls:
        parts = [f"{stage} {money(dollars(amount))}" for stage, amount in best.savings_pico.items()]
        whole = money(dollars(best.baseline_pico - best.cost_pico))
        say(f"Where the saving of {best.name} comes from: {' · '.join(parts)} = {whole} over the window")
    each, most, logged = best.usd_per_outcome() if best is not None and best.savings_pico else (None, None, None)
    if each is not None and logged is not None:
        bound = "" if most is None else f", at most {money(Decimal(repr(most)))}"
        say(f"Dollars per good outcome: {money(Decimal(repr(each)))}{bound}, instead of {money(Decimal(repr(logged)))}")
    for number, why in (
        (result.unpriced_calls, "without a price: on neither side"),
        (result.untimed_calls, "without a time: not replayed"),
    ):
        if number:
            say(f"Not included: {count(number, 'call')} {why}", style="yellow")
    for entry in result.strategies:
        if entry.newly_unpriced:
            moved = f"{count(entry.newly_unpriced, 'call')} would have no price, and stand on neither side"
            say(f"Not to be compared with the others: under {entry.name} {moved}", style="yellow")
    for entry in result.strategies:
        for one in entry.unmatched:
            say(f"{entry.name}: {one.words}", style="yellow")
    if len({entry.quality["floor"] for entry in result.strategies if entry.savings_pico}) > 1:
        floor = common_floor(result.strategies)
        say(f"The files ask for different floors; all are ranked under the strictest, {floor:g}.")
    if best is not None and len(best.limits) > len(best.unmatched):
        say(f"Assumed or left out for {best.name}:")
        for limit in best.limits[len(best.unmatched) :]:
            say(f"  - {limit}", style="dim")
    if sum(1 for entry in result.strategies if entry.limits) > 1:
        note("What the other strategies assume: --json")


def _plain(amount: object) -> str:
    from decimal import Decimal

    from analysis.formatting import money

    return money(amount if isinstance(amount, Decimal) else None, symbol="")
