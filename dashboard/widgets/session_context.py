"""How the context of a session fills, turn by turn: what each request held, and what of it was new."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import partial

from analysis.formatting import money, share, tokens
from dashboard.documents import document_views
from dashboard.render import detail_charts
from dashboard.render.palette import GREY, HUES
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, fragments, progress
from dashboard.widgets.page_frame import View

HIDDEN = "not in the log"


@fragments.region
def fold(view: View, session: str, since: date | None, until: date | None) -> None:
    """The picture and its figures, worked out while the part is open."""
    fragments.fold(
        "How the context fills, turn by turn", "session-context", partial(_draw, view, session, since, until)
    )


def _draw(view: View, session: str, since: date | None, until: date | None) -> None:
    arguments = {"session": session, "since": since, "until": until}
    found: document_views.Document | None = progress.result(
        view, "session_context", arguments, "Dividing the input", key=tuple(arguments.values())
    )
    if found is None:
        return
    if not found["sources"]:
        blocks.note("No call of this session has a number of input tokens.")
        return
    turns, stacks, usd = by_turn(found)
    blocks.finding(finding(turns, stacks))
    named = [name for name in stacks if name != HIDDEN]
    colours = {HIDDEN: GREY, **dict(zip(named, [*HUES, *[GREY] * len(named)], strict=False))}
    blocks.picture(
        detail_charts.context_by_turn(turns, stacks, usd, colours),
        "session-context",
        alt="; ".join(f"{name}: {tokens(sum(counts))} tokens" for name, counts in stacks.items()),
        caption=f"Input tokens by turn · session {session} · {view.source}",
    )
    blocks.table(_table(turns, stacks, usd), "session-context")
    again = Decimal(found["carried_again_usd"])
    blocks.note(f"{money(again)} of {money(Decimal(found['input_cost_usd']))} went into texts that it had sent before.")
    if found["calls_without_text"]:
        blocks.note(f"Without text: {found['calls_without_text']:,} of {found['calls']:,} calls, '{HIDDEN}' here.")


def by_turn(found: document_views.Document) -> tuple[list[int], dict[str, list[int]], list[Decimal]]:
    """Turns in order, tokens of each by source (the largest first), and what each turn's input cost."""
    turns = sorted({int(row["turn"]) for row in found["sources"]})
    place = {turn: number for number, turn in enumerate(turns)}
    whole: dict[str, int] = {}
    for row in found["sources"]:
        whole[row["source"]] = whole.get(row["source"], 0) + row["tokens"]
    stacks = {name: [0] * len(turns) for name in sorted(whole, key=lambda name: (-whole[name], name))}
    usd = [Decimal(0)] * len(turns)
    for row in found["sources"]:
        at = place[int(row["turn"])]
        stacks[row["source"]][at] += row["tokens"]
        usd[at] += Decimal(row["cost_usd"])
    return turns, stacks, usd


def finding(turns: list[int], stacks: dict[str, list[int]]) -> str:
    """How much the first and the fullest request held, and what most of the fullest was."""
    sums = [sum(counts) for counts in zip(*stacks.values(), strict=True)]
    fullest = max(range(len(sums)), key=lambda number: sums[number])
    top = max(stacks, key=lambda name: stacks[name][fullest])
    part = share(stacks[top][fullest] / sums[fullest]) if sums[fullest] else "-"
    if len(turns) == 1:
        return f"One turn of {tokens(sums[0])} tokens: {part} are {top}"
    return (
        f"From {tokens(sums[0])} tokens in turn {turns[0]} to {tokens(sums[fullest])} in turn {turns[fullest]}: "
        f"{part} of those are {top}"
    )


def _table(turns: list[int], stacks: dict[str, list[int]], usd: list[Decimal]) -> Table:
    columns = (
        Column("turn", figure=True),
        *(Column(name, tokens, figure=True, minor=place >= 2) for place, name in enumerate(stacks)),
        Column("all tokens", tokens, figure=True),
        Column("input, USD", money, figure=True),
    )
    rows = tuple(
        (turn, *(counts[at] for counts in stacks.values()), sum(counts[at] for counts in stacks.values()), usd[at])
        for at, turn in enumerate(turns)
    )
    return Table("Input tokens by turn and source", columns, rows)
