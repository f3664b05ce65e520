"""`hindcast calls`: the calls behind a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal.options import Since, Until, Where, choice, registry, store_in_window
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, say, table
from cli.terminal.row_files import RowsOption, write_rows

if TYPE_CHECKING:
    from analysis.reports.calls import CallList


ORDERS = registry("analysis.reports.calls", "ORDERS")
_WORDS = ("agent", "task", "model", "status")


def register(app: typer.Typer) -> None:
    app.command()(calls)


def calls(
    agent: Annotated[str | None, typer.Option("--agent", help="Of this agent; (none) for calls without one.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Of this task.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Billed as this model.")] = None,
    session: Annotated[str | None, typer.Option("--session", help="Of this session.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Of this user.")] = None,
    where: Where = None,
    since: Since = None,
    until: Until = None,
    order: Annotated[str, choice("--order", ORDERS, "Sort by cost, time, tokens or duration.")] = "cost",
    limit: Annotated[int, typer.Option("--limit", help="How many to list.", min=1, max=100_000)] = 20,
    show: Annotated[
        int | None, typer.Option("--show", min=0, max=2**62, help="Print the messages of the call with this number.")
    ] = None,
    output: RowsOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """List the calls behind a figure, most expensive first.

    Filtered by any dimension of the log.

    Example: hindcast calls --agent drafting_agent --day 2024-03-05
    """
    from analysis.dimensions import as_filter
    from analysis.reports import calls as listing
    from cli.python_api.costs import CallList
    from ingest.store.address import open_store

    if show is not None:
        _show_messages(open_store(store), show, as_json=json)
        return
    given = {"agent": agent, "task": task, "model": model, "session": session, "user": user}
    keep = as_filter([*(f"{name}={value}" for name, value in given.items() if value is not None), *(where or ())])
    held = store_in_window(store, None, since, until, as_json=json)
    found = listing.calls(
        held,
        keep,
        since=since,
        until=until,
        order=order,
        limit=limit,
    )
    if output is not None:
        write_rows(CallList(found).to_frame(), output)
    elif json:
        emit_json(found.to_json())
    elif found.rows:
        _show(found)
    else:
        say(f"No call has {keep if keep else 'this'}{' in these days' if since or until else ''}.")


def _show(found: CallList) -> None:
    from analysis.formatting import money, named, tokens

    say(found.summary, style="bold")
    weighted = any(row["weight"] != 1 for row in found.rows)
    texts = [
        {
            "call": str(row["call_no"]),
            "time (UTC)": "-" if row["start_time"] is None else f"{row['start_time']:%Y-%m-%d %H:%M:%S}",
            **{name: named(row[name]) for name in ("agent", "task", "model", "status")},
            "input": tokens(row["input_tokens"]),
            "output": tokens(row["output_tokens"]),
            "usd": money(row["cost_usd"], symbol=""),
            **({"stands for": f"{row['weight'].normalize():f}"} if weighted else {}),
            "in the log at": f"{Path(row['source'] or '-').name}:{row['source_row']}",
        }
        for row in found.rows
    ]
    # what is the same in every row is said once
    same = {name: text for name, text in texts[0].items() if name in _WORDS and all(t[name] == text for t in texts)}
    if same:
        say(
            ("Shown, all of " if len(texts) > 1 else "It is of ") + ", ".join(f"{n} {t}" for n, t in same.items()) + "."
        )
    say()
    shown = [name for name in texts[0] if name not in same]
    left = [position for position, name in enumerate(shown) if name not in ("input", "output", "usd", "stands for")]
    optional = [position for position, name in enumerate(shown) if name == "in the log at"]
    table(shown, [[row[name] for name in shown] for row in texts], left=left, optional=optional)
    say()
    if found.matched > len(found.rows):
        say(f"The first {len(found.rows):,} are shown: --limit N for more.")
    say(f"Its messages: hindcast calls --show {found.rows[0]['call_no']}")


def _show_messages(store: Any, call_no: int, *, as_json: bool) -> None:
    from analysis.formatting import count
    from analysis.reports import calls as listing

    parts = listing.messages(store, call_no)
    if as_json:
        emit_json(
            {
                "call_no": call_no,
                "messages": [{"kind": p.kind, "role": p.role, "text": p.text, "chars": p.chars} for p in parts],
            }
        )
        return
    if all(part.text is None for part in parts):
        size = sum(part.chars or 0 for part in parts)
        held = f"{count(len(parts), 'part')} ({count(size, 'character')})"
        say(f"Call {call_no}: no text is kept of its {held}, or the log had none.")
        return
    say(f"Call {call_no}: {count(len(parts), 'part')}.", style="bold")
    for part in parts:
        say()
        say(part.role or part.kind, style="bold")
        say(listing.readable(part))
