"""`hindcast context`: what fills the context of the calls, and what carrying it costs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import Since, Until, Where, comma_separated, store_in_window
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress, say, table

if TYPE_CHECKING:
    from replay.context.lanes import Turns
    from replay.context.report import Context, Item, Share
    from replay.engine.run import StrategyResult


def register(app: typer.Typer) -> None:
    app.command()(context)


def context(
    by: Annotated[
        str, typer.Option(help="Divide it further: agent, task, model, session, or other dimensions of calls.")
    ] = "",
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the costliest texts are listed.")] = 10,
    replays: Annotated[
        bool, typer.Option("--replays/--no-replays", help="Replay ways to carry less, where the log has texts.")
    ] = True,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show what fills the context, and what carrying it costs.

    The input cost divided by source, exactly; the costliest texts; where the provider's cache was lost.

    Example: hindcast context --by agent --since 7d
    """
    from ingest.contents.tokenizer import ensure_counted
    from replay.context import levers as ways
    from replay.context.report import context as divided
    from replay.traffic.load_traffic import load

    held = store_in_window(store, where, since, until, as_json=as_json)
    with progress("Counting tokens", unit="texts") as bar:
        ensure_counted(held, ["o200k_base"], progress=bar)
    found = divided(load(held, since=since, until=until), by=comma_separated(by), limit=limit)
    shorter: tuple[StrategyResult, ...] = ()
    if replays and found.items and found.textless_calls < found.calls:
        with progress("Replaying shorter contexts", unit="strategies") as bar:
            bar.total(len(ways.WAYS))
            shorter = ways.levers(held, since=since, until=until, done=lambda _: bar.advance(1))
    if as_json:
        emit_json({**found.to_json(), "replays": [one.to_json() for one in shorter]})
        return
    _show(found, shorter)


def _show(found: Context, shorter: tuple[StrategyResult, ...]) -> None:
    from analysis.formatting import count, money, share, tokens

    if not found.input_tokens:
        say("No call of this window has a number of input tokens: there is nothing to divide.", style="bold")
        return
    total = found.input_pico
    sources = _by_source(found)
    first = next(iter(sources))
    part = share(sources[first][1] / total) if total else share(sources[first][0] / found.input_tokens)
    say(
        f"The input of {count(found.calls, 'call')} cost {money(_dollars(total))} for {tokens(found.input_tokens)} "
        f"tokens: {part} is {_phrase(first)}.",
        style="bold",
    )
    say()
    headers = [*found.by, "source", "tokens", "from cache", "written", "in full", "cost", "share"]
    rows = [_row(one, found) for one in found.shares]
    if not any(one.read_tokens or one.written_tokens for one in found.shares):  # nothing of it was cached
        uncached = len(found.by) + 2
        headers, *rows = [[*line[:uncached], *line[uncached + 3 :]] for line in (headers, *rows)]
    table(headers, rows, left=tuple(range(len(found.by) + 1)), optional=(len(headers) - 1, len(headers) - 3))
    if found.items:
        say()
        table(
            ["costliest texts", "content", "calls", "again", "tokens", "cost", "of it again"],
            [_item(one) for one in found.items],
            left=(0,),
            optional=(6, 3),
        )
        again = share(found.again_pico / total) if total else "-"
        carried = money(_dollars(found.again_pico))
        say(f"Texts that their conversation had sent before: {carried}, {again} of the input cost.")
    _show_turns(found.turns)
    _show_levers(shorter)
    if found.unpriced_calls:
        unpriced = count(found.unpriced_calls, "call")
        note(f"{unpriced} without a price: their tokens are counted, their dollars are not known")
    if found.uncounted_calls:
        note(f"{count(found.uncounted_calls, 'call')} without a number of input tokens: in no sum")
    if found.textless_calls:
        note(f"{count(found.textless_calls, 'call')} without text in the store: all of their input is 'not in the log'")
    say("Next: hindcast cache doctor   ·   hindcast calls --sort cost")


def _show_turns(turns: Turns) -> None:
    from analysis.formatting import count, money, tokens

    if not turns.judged:
        return
    say()
    say(f"{turns.kept:,} of {count(turns.judged, 'turn')} read from the cache all that the turn before had left there.")
    if turns.breaks:
        rows = [
            [cause, f"{number:,}", tokens(lost), money(None if pico is None else _dollars(pico))]
            for cause, number, lost, pico in turns.by_cause
        ]
        table(["why the others did not", "turns", "tokens", "dearer by"], rows, left=(0,))
        worst = max(turns.breaks, key=lambda one: one.lost_tokens)
        where = "" if worst.position < 0 else f", from its message {worst.position + 1} on"
        where += "" if worst.character < 0 else f" (its character {worst.character:,})"
        say(f"Largest: call {worst.call_no}, turn {worst.turn} of its conversation{where}.")


def _show_levers(shorter: tuple[StrategyResult, ...]) -> None:
    from analysis.formatting import share
    from replay.advice.result_in_words import cost_text, verdict

    if not shorter:
        return
    say()
    rows = [[one.name, cost_text(one), share(one.saved_share), verdict(one)] for one in shorter]
    table(["another way", "USD/day", "saved", "quality"], rows, left=(0, 3))


def _by_source(found: Context) -> dict[str, tuple[int, int]]:
    """source -> (tokens, pico-dollars), the dearest first."""
    sums: dict[str, tuple[int, int]] = {}
    for one in found.shares:
        held, paid = sums.get(one.source, (0, 0))
        sums[one.source] = (held + one.tokens, paid + one.pico)
    return dict(sorted(sums.items(), key=lambda item: (-item[1][1], -item[1][0])))


def _phrase(source: str) -> str:
    return "what the log does not hold (system prompt, tools)" if source == "not in the log" else source


def _row(one: Share, found: Context) -> list[str]:
    from analysis.formatting import money, named, share, tokens

    part = one.pico / found.input_pico if found.input_pico else one.tokens / found.input_tokens
    return [
        *map(named, one.group),
        one.source,
        tokens(one.tokens),
        tokens(one.read_tokens),
        tokens(one.written_tokens),
        tokens(one.full_tokens),
        money(_dollars(one.pico)),
        share(part),
    ]


def _item(one: Item) -> list[str]:
    from analysis.formatting import money, tokens

    name = f"{one.source}: {one.label}" if one.label else one.source
    return [
        name, f"{one.content_id}", f"{one.calls:,}", f"{one.again:,}", tokens(one.tokens), money(_dollars(one.pico)),
        money(_dollars(one.again_pico)),
    ]  # fmt: skip


def _dollars(pico: int) -> Decimal:
    return Decimal(pico).scaleb(-12)
