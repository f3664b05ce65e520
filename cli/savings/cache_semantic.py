"""`hindcast cache semantic`: what answers of similar requests would save, and how often they would be wrong."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.savings.cache import cache
from cli.terminal.options import POSITIVE, SHARE, Since, Until, Where, store_in_window
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from replay.response_cache.semantic import Threshold
    from replay.traffic.traffic import Traffic


@cache.command()
def semantic(
    target: Annotated[
        float, typer.Option(callback=SHARE, help="The false-hit rate that is acceptable, at the interval's end.")
    ] = 0.05,
    ttl_hours: Annotated[
        float | None, typer.Option(callback=POSITIVE, help="Hours to live; no limit by default.")
    ] = None,
    embeddings: Annotated[
        str | None, typer.Option(help="URL of an OpenAI-compatible endpoint: compare by vectors. Sends it the texts.")
    ] = None,
    embedding_model: Annotated[str, typer.Option(help="The endpoint's model.")] = "text-embedding-3-small",
    since: Since = None,
    until: Until = None,
    where: Where = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Hit rate, savings and false hits by similarity threshold.

    Example: hindcast cache semantic --target 0.05
    """
    from replay.response_cache import semantic as similar
    from replay.traffic.load_prompts import load_prompts
    from replay.traffic.load_traffic import load

    held = store_in_window(store, where, since, until, as_json=as_json)
    traffic = load(held, since=since, until=until)
    vectors = None
    if embeddings:
        asked = similar.questions(traffic, load_prompts(traffic, texts=True))
        key = os.environ.get("OPENAI_API_KEY", "none")
        vectors = similar.embed(asked.questions, model=embedding_model, base_url=embeddings, api_key=key)
    ttl_ms = None if ttl_hours is None else int(ttl_hours * 3_600_000)
    rows = similar.measure(traffic, vectors=vectors, ttl_ms=ttl_ms)
    chosen = similar.choose(rows, target)
    if as_json:
        emit_json(
            {
                "days": traffic.calendar_days,
                "target": target,
                "chosen": chosen.threshold if chosen else None,
                "thresholds": [_row(one) for one in rows],
            }
        )
        return
    _show(traffic, rows, chosen, target)


def _show(traffic: Traffic, rows: list[Threshold], chosen: Threshold | None, target: float) -> None:
    from analysis.formatting import count, money, share

    days = max(traffic.calendar_days, 1)
    if not rows or not rows[0].asked:
        say("The store holds no message texts, so no two requests can be compared.")
        return
    if chosen is None:
        exact = rows[-1]
        say(
            f"No threshold keeps false hits surely under {share(target)}: the same question was answered otherwise "
            f"in {share(exact.false_share)} of {count(exact.compared, 'repeat')}.",
            style="bold",
        )
    else:
        name = "exact questions only" if chosen.threshold >= 1 else f"a threshold of {chosen.threshold:.2f}"
        say(
            f"With {name} a semantic cache serves {share(chosen.hits / chosen.asked)} of calls and saves "
            f"{money(Decimal(chosen.saved).scaleb(-12) / days)} a day, surely under {share(target)} false hits.",
            style="bold",
        )
    say()
    cells = [
        [
            "exact" if one.threshold >= 1 else f"{one.threshold:.2f}",
            f"{one.hits:,}",
            share(one.hits / one.asked if one.asked else None),
            f"{one.exact:,}",
            money(Decimal(one.saved).scaleb(-12) / days),
            f"{one.wrong:,} of {one.compared:,}",
            "-" if one.low is None or one.high is None else f"{100 * one.low:.1f}-{100 * one.high:.1f} %",
        ]
        for one in rows
    ]
    headers = ["similarity", "hits", "hit rate", "exact", "saved/day", "false hits", "95 % interval"]
    table(headers, cells)
    say("A false hit: the served answer differs from the one logged, in its numbers or a fifth of its words.")
    say("Next: hindcast cache curve   ·   hindcast cache doctor")


def _row(one: Threshold) -> dict[str, Any]:
    from analysis.formatting import usd

    return {**vars(one), "saved_usd": usd(Decimal(one.saved).scaleb(-12)), "false_share": one.false_share}
