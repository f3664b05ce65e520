"""`hindcast mark`: what people did, and when, beside the bill."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.output import JsonOption, StoreOption, emit_json, note, say, table


def register(app: typer.Typer) -> None:
    app.command()(mark)


def mark(
    time: Annotated[
        str | None, typer.Argument(help="When: 2026-05-03T10:00, in UTC unless a zone follows (+02:00).")
    ] = None,
    text: Annotated[str | None, typer.Argument(help="What: a deployment, a launch, a price change.")] = None,
    store: StoreOption = "hindcast.duckdb",
    tags: Annotated[
        str | None, typer.Option("--tags", metavar="REPO", help="Mark the tags of the git repository in this folder.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is marked at TIME.")] = False,
    json: JsonOption = False,
) -> None:
    """Mark what was done beside the bill: the first suspects of a spike.

    Deployments, launches and price changes, drawn on every trajectory. Without a time it lists the marks.

    Example: hindcast mark 2026-05-03T10:00 "v2 rollout"
    """
    from analysis.anomalies.annotations import Annotation, annotate, git_tags, parse_time, read_annotations
    from analysis.anomalies.annotations import remove as forget
    from analysis.formatting import count
    from ingest.errors import InputError
    from ingest.store.address import open_store

    found = open_store(store)
    if tags is not None and (time or text or remove):
        raise InputError("--tags marks by itself", remedy="Leave the time, the text and --remove out.")
    if (remove and (time is None or text is not None)) or (not remove and (time is None) != (text is None)):
        raise InputError(
            "--remove needs a time alone" if remove else "a mark needs a time and a text",
            remedy='hindcast mark 2026-05-03T10:00 "v2 rollout", or: hindcast mark 2026-05-03T10:00 --remove',
        )
    if tags is not None:
        made = annotate(found, git_tags(Path(tags)))
        note(f"{count(len(made), 'tag')} marked")
    elif remove and time is not None:
        gone = forget(found, parse_time(time))
        if not gone:
            raise InputError(f"nothing is marked at {time}", remedy="See what is: hindcast mark")
        note(f"{count(len(gone), 'mark')} removed")
    elif time is not None and text is not None:
        made = annotate(found, [Annotation(parse_time(time), text)])
        note("marked" if made else "it was marked before")
    with found.read() as con:
        known = read_annotations(con)
    if json:
        emit_json({"annotations": [one.to_json() for one in known]})
    elif known:
        table(["time (UTC)", "what", "from"], [[f"{one.time:%Y-%m-%d %H:%M}", one.text, one.source] for one in known],
              left=(0, 1, 2))  # fmt: skip
    else:
        say('Nothing is marked yet. Next: hindcast mark 2026-05-03T10:00 "v2 rollout"')
