"""`hindcast replay`: what the logged traffic would have cost under other policies."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal.options import (
    STRATEGIES,
    Since,
    Until,
    Where,
    choice,
    comma_separated,
    store_in_window,
)
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress, say, table
from cli.terminal.row_files import RowsOption, known_suffix, write_rows

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from ingest.store.database import Store
    from replay.engine.run import Replay
    from replay.strategy.schema import Strategy


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def replay(
        strategies: Annotated[
            list[Path] | None,
            typer.Argument(help="Strategy files or folders (default: ./strategies, else drafts).", show_default=False),
        ] = None,
        since: Since = None,
        until: Until = None,
        where: Where = None,
        cold: Annotated[bool, typer.Option("--cold", help="Start with empty caches.")] = False,
        scores: Annotated[Path | None, typer.Option(help="A table of your own: task, model, quality, n.")] = None,
        output: RowsOption = None,
        by: Annotated[
            str | None,
            choice("--by", _dimensions, "What calls become by agent, task, model, to_model, ...", several=True),
        ] = None,
        calls: Annotated[
            Path | None,
            typer.Option(metavar="FILE", callback=known_suffix, help="Write what each call becomes: .csv or .parquet."),
        ] = None,
        on: Annotated[
            str | None,
            typer.Option("--on", metavar="ADDRESS", help="From a lake: on the workers of this Dask scheduler."),
        ] = None,
        store: StoreOption = DEFAULT_STORE,
        as_json: JsonOption = False,
    ) -> None:
        """What the logged traffic would cost under other strategies.

        With hit rate, savings by stage and a quality verdict.

        Example: hindcast replay routed.yaml combined.yaml --since 2024-03-05
        Example: hindcast replay routed.yaml --by agent,task,model
        """
        from cli.python_api.strategies import strategy_rows
        from replay.engine.call_frame import call_frame
        from replay.engine.run import run
        from replay.quality.scores import load_priors
        from replay.strategy.schema import load_all

        if strategies is None and not any(STRATEGIES.glob("*.y*ml")):
            chosen = None
        else:
            chosen = [one for _, one in load_all(strategies or [STRATEGIES])]
        held = store_in_window(store, where, since, until, as_json=as_json)
        frames: list[pl.DataFrame] = []
        wanted = bool(by or calls)
        if chosen is None:
            chosen = _drafted(held, since, until)
        with progress("Replaying", unit="strategies") as bar, ExitStack() as stack:
            bar.total(len(chosen))
            parts = None
            if on is not None:
                from replay.partition.on_workers import on_workers

                parts = stack.enter_context(on_workers(held, on, since, until, cold=cold, every_miss=wanted, here=note))
            result = run(
                held,
                chosen,
                since=since,
                until=until,
                cold=cold,
                scores=load_priors(scores) if scores else None,
                done=lambda _name: bar.advance(1),
                inspect=(lambda engine: frames.append(call_frame(engine))) if wanted else None,
                timed=True,
                parts=parts,
            )
        groups = _outcomes(result, frames, comma_separated(by or ""), calls) if wanted else {}
        if output is not None:
            write_rows(strategy_rows(result), output)
            return
        if as_json:
            document = result.to_json()
            for entry in document["strategies"] if by else []:
                entry["by"] = groups[entry["name"]]
            emit_json(document)
            return
        show(result)
        for name, rows in groups.items() if by else ():
            _show_groups(name, rows, comma_separated(by or ""))


def _dimensions() -> list[str]:
    from replay.engine.outcome_groups import DIMENSIONS

    return list(DIMENSIONS)


def _outcomes(
    result: Replay, frames: Sequence[pl.DataFrame], by: Sequence[str], target: Path | None
) -> dict[str, list[dict[str, Any]]]:
    """The groups of each strategy by its name; the calls themselves go to the file `target`."""
    import polars as pl

    from replay.engine.outcome_groups import grouped, with_quality

    told = [with_quality(frame, entry.quality["cells"]) for frame, entry in zip(frames, result.strategies, strict=True)]
    if target is not None:
        named = zip(told, result.strategies, strict=True)
        parts = [frame.select(pl.lit(entry.name).alias("strategy"), pl.all()) for frame, entry in named]
        write_rows(pl.concat(parts), target)
    return {entry.name: grouped(frame, by) for frame, entry in zip(told, result.strategies, strict=True) if by}


def _show_groups(name: str, rows: Sequence[dict[str, Any]], by: Sequence[str]) -> None:
    """What became of each group of calls; a group that changes nothing is counted only."""
    from analysis.formatting import count

    changed = [row for row in rows if row["moved"] or row["hits"] or row["cost_usd"] != row["logged_cost_usd"]]
    say()
    say(f"What calls become under {name}:", style="bold")
    told = []
    for row in changed:
        places = [row[one] or "(none)" for one in by]
        moves = [f"{row['calls']:,}", f"{row['moved']:,}", ", ".join(row["to"]) or "-"]
        quality = "-" if row["quality_ratio"] is None else f"{row['quality_ratio']:.2f}"
        amounts = [_usd(row["logged_cost_usd"]), _usd(row["cost_usd"])]
        told.append([*places, *moves, *amounts, f"{row['without_evidence']:,}", quality])
    heads = [*by, "calls", "moved", "to", "logged usd", "usd", "unscored", "quality"]
    table(heads, told, left=(*range(len(by)), len(by) + 2), optional=(len(heads) - 1, len(heads) - 2))
    if len(changed) < len(rows):
        say(f"As logged: {count(len(rows) - len(changed), 'more group')}.", style="dim")


def _usd(amount: str | None) -> str:
    from decimal import Decimal

    return _plain(None if amount is None else Decimal(amount))


def _drafted(store: Store, since: date | None, until: date | None) -> list[Strategy]:
    """Drafts from the log, where no file is named and there are none in ./strategies."""
    from ingest.errors import InputError
    from replay.drafting.drafts import drafts

    with progress("Drafting", unit="policies") as bar:
        found = drafts(store, since=since, until=until, done=lambda _label: bar.advance(1))
    if not found:
        raise InputError("this log gives no strategy to draft", remedy="Name a file: hindcast strategy explain route")
    note(f"No strategy files in ./{STRATEGIES}: {len(found)} drafted from this log. Keep them: hindcast strategy init")
    return [one.strategy() for one in found]


def show(result: Replay) -> None:
    """The answer, the table that proves it, where the saving comes from, and what cannot be said."""
    from decimal import Decimal

    from analysis.formatting import count, money, share
    from analysis.money import dollars
    from replay.advice.recommend import common_floor, recommended
    from replay.advice.result_in_words import cost_text, quality_text, sentence, verdict
    from replay.engine.latency import sentence as latency_sentence

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
    if best is not None and best.savings_pico and best.priced_calls and any(best.savings_pico.values()):
        parts = [f"{stage} {money(dollars(amount))}" for stage, amount in best.savings_pico.items()]
        whole = money(dollars(best.baseline_pico - best.cost_pico))
        say(f"Where the saving of {best.name} comes from: {' · '.join(parts)} = {whole} over the window")
    each, most, logged = best.usd_per_outcome() if best is not None and best.saved_share else (None, None, None)
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
    for entry in result.strategies:
        words = entry.latency and entry.savings_pico and latency_sentence(entry.name, entry.latency)
        if words:
            say(words)
    said = {one.words for entry in result.strategies for one in entry.unmatched}
    limits = [limit for limit in best.limits if limit not in said] if best is not None else []
    if best is not None and limits:
        say(f"Assumed or left out for {best.name}:")
        for limit in limits:
            say(f"  - {limit}", style="dim")
    if sum(1 for entry in result.strategies if entry.limits) > 1:
        note("What the other strategies assume: --json")


def _plain(amount: object) -> str:
    from decimal import Decimal

    from analysis.formatting import money

    return money(amount if isinstance(amount, Decimal) else None, symbol="")
