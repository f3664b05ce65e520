"""`hindcast parallel`: how long sessions would take if calls that use nothing of each other ran at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import Since, Until, Where, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from replay.advice.parallelism import Report


def register(app: typer.Typer) -> None:
    @app.command()
    def parallel(
        since: Since = None,
        until: Until = None,
        where: Where = None,
        sessions: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Sessions to analyse, evenly spread.")] = 2000,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """How much faster sessions would be with parallel calls.

        From the critical path of each session.

        Example: hindcast parallel --since 2024-03-05
        """
        from replay.advice.parallelism import critical_path

        held = store_in_window(store, where, since, until, as_json=as_json)
        found = critical_path(
            held,
            since=since,
            until=until,
            most=sessions,
        )
        if as_json:
            emit_json(found.to_json())
        else:
            show(found)


def show(found: Report) -> None:
    """The answer with its range, the waits that the texts do not explain, and what the reading rests on."""
    from analysis.formatting import count, share

    if not found.stretches or not found.logged_ms:
        say("Every call of this window stands alone: there is nothing to run at the same time.", style="bold")
        return
    saved = (found.logged_ms - found.likely_ms) / found.logged_ms
    mean = found.logged_ms / found.stretches
    if found.textless == found.calls:
        say(f"Sessions take {_time(mean)}; without texts the log cannot show which calls used which.", style="bold")
    elif found.likely_ms == found.logged_ms:
        say(f"Every call waited for something it may have needed: sessions take {_time(mean)} as logged.", style="bold")
    else:
        likely = _time(found.likely_ms / found.stretches)
        say(
            f"Sessions take {_time(mean)}; with independent calls side by side {likely} (-{share(saved)}).",
            style="bold",
        )
    say()
    orders = [
        ("as logged", found.logged_ms),
        ("likely: calls wait for what they used or may have needed", found.likely_ms),
    ]
    if 2 * found.textless <= found.calls:  # without texts no dependency is proven, and the least says nothing
        orders.append(("least: calls wait only for what their texts prove", found.least_ms))
    table(
        ["order", "per stretch", "of logged"],
        [[name, _time(ms / found.stretches), share(ms / found.logged_ms)] for name, ms in orders],
        left=(0,),
    )
    if found.needless:
        say()
        table(
            ["call", "waited for a result it did not use", "times", "each for", "share of all time"],
            [
                [
                    row.after,
                    row.before,
                    f"{row.times:,}",
                    _time(row.waited_ms / row.times),
                    share(row.waited_ms / found.logged_ms),
                ]
                for row in found.needless[:10]
            ],
            left=(0, 1),
        )
    say()
    of = "" if found.sessions == found.sessions_of else f" of {found.sessions_of:,}, evenly spread"
    say(
        f"Inferred from {count(found.calls, 'call')} in {count(found.stretches, 'stretch', 'stretches')} of work"
        f" without a minute's pause ({count(found.sessions, 'session')}{of}).",
        style="dim",
    )
    if found.textless:
        say(f"Open: {count(found.textless, 'call')} without the text of prompt or answer.", style="yellow")
    if found.untimed:
        untimed = count(found.untimed, "call")
        say(f"Assumed: {untimed} without a duration, taken to last until the next call.", style="yellow")
    say("Data dependencies are inferred from text; confirm with the agent's author.", style="dim")


def _time(ms: float) -> str:
    seconds = ms / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"
