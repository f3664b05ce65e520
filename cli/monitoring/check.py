"""`hindcast check`: gates for a build, a schedule or a pull request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.calendar_days import single_day, today
from analysis.settings_file import FILE
from cli.terminal.options import Since, Until, Where, choice, registry, selected_store
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, progress, say

if TYPE_CHECKING:
    from analysis.gates.settings import Settings
    from replay.gates.proposal import Proposal
    from replay.strategy.prompts_schema import PromptChange


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    strategy: Annotated[
        Path | None, typer.Option("--strategy", help="Gate this strategy instead, replayed over the log.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Strategy that it is compared with (default: as logged).")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="OLD=NEW", help="Gate a changed prompt: two files. May be repeated."),
    ] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    settings: Annotated[Path, typer.Option("--settings", help="The file with the limits.")] = FILE,
    at: Annotated[
        date | None,
        typer.Option("--at", parser=single_day, metavar="DAY", help="Judge as at the end of this day."),
    ] = None,
    form: Annotated[
        str,
        choice("--format", registry("cli.monitoring.gate_formats", "FORMS"), "text, github, junit or markdown."),
    ] = "text",
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Fail a build on budgets, odd days, or the cost of a change.

    Without --strategy and --prompt: one line per gate of hindcast.toml on the log as it stands. With them: gates on
    dollars a day, quality, hit rate and latency of the change, on the calls of --since to --until. Exit code 1 where a
    gate fails, 2 on bad input, else 0.

    Example: hindcast check --format github
    """
    from analysis.gates import settings as gate_settings
    from cli.monitoring import gate_formats
    from ingest.errors import InputError
    from ingest.store.address import open_store
    from replay.gates.evaluate import evaluate

    if settings != FILE and not settings.is_file():
        raise InputError("there is no such file", where=str(settings), remedy="What it may hold: docs/ci.md")
    limits = gate_settings.read(settings)
    _require_fitting(
        bool(strategy or prompt), {"--baseline": baseline, "--since": since, "--until": until, "--where": where}, at
    )
    changed: Proposal | None = None
    if strategy or prompt:
        changed = _proposed(selected_store(store, where), limits, strategy, baseline, prompt or (), since, until)
        results = changed.gates
    else:
        results = evaluate(open_store(store), limits, _moment(at))
    failures = [one for one in results if limits.fails(one)]
    told = [sentence for effect in changed.prompts if effect.calls for sentence in effect.sentences] if changed else []
    if json:
        document: dict[str, Any] = {
            "passed": not failures,
            "failed": [one.name for one in failures],
            "cannot_say": [one.name for one in results if one.passed is None],
            "gates": [one.to_json() for one in results],
        }
        if changed:
            document |= {"prompts": [one.to_json() for one in changed.prompts], "replay": changed.replay.to_json()}
        emit_json(document)
    else:
        for line in gate_formats.FORMS[form](results, failures, told):
            say(line)
    if failures:
        raise typer.Exit(1)


def _require_fitting(proposal: bool, of_proposals: dict[str, object], at: date | None) -> None:
    """Raises InputError where an option belongs to the other kind of check."""
    from ingest.errors import InputError

    given = [name for name, value in of_proposals.items() if value]
    if not proposal and given:
        raise InputError(f"{given[0]} belongs to --strategy or --prompt", remedy="Add one of them, or leave it out.")
    if proposal and at:
        raise InputError("--at belongs to the gates of the log", remedy="For a change: --since and --until.")


def _moment(at: date | None) -> datetime:
    """What is judged: the end of the day that was asked for or set as the present one, else the present."""
    from analysis.gates.periods import DAY, begin_of

    if at is None and not os.environ.get("HINDCAST_NOW"):
        return datetime.now(UTC)
    return begin_of((at or today()) + DAY) - timedelta(microseconds=1)


def _proposed(
    store: Any,
    limits: Settings,
    strategy: Path | None,
    baseline: Path | None,
    prompts: Sequence[str],
    since: date | None,
    until: date | None,
) -> Proposal:
    from analysis.log_days import nothing_logged
    from ingest.errors import InputError
    from replay.gates.proposal import propose
    from replay.strategy.schema import Strategy, load

    chosen = load(strategy) if strategy else Strategy(name="changed prompts")
    if prompts:
        changes = (*chosen.prompts, *(_change(text) for text in prompts))
        chosen = chosen.model_copy(update={"prompts": changes})
    against = load(baseline) if baseline else None
    message = nothing_logged(store, since, until) if since or until else None
    if message:
        raise InputError(message)
    with progress("Replaying", unit="strategies") as bar:
        bar.total(2 if against else 1)
        return propose(store, limits, chosen, against, since=since, until=until, done=lambda _name: bar.advance(1))


def _change(text: str) -> PromptChange:
    """`old.txt=new.txt` as a change of a prompt."""
    from pydantic import ValidationError

    from ingest.errors import InputError
    from replay.strategy.prompts_schema import PromptChange, read_text

    old, mark, new = text.partition("=")
    if not (mark and old and new):
        raise InputError(f"--prompt {text} is not OLD=NEW", remedy="Write: --prompt prompts/draft_v1.txt=draft_v2.txt")
    try:
        return PromptChange(old=read_text(Path(old), old), new=read_text(Path(new), new))
    except ValidationError as error:
        raise InputError(f"--prompt {text}: {error.errors(include_url=False)[0]['msg']}") from error
    except ValueError as error:
        raise InputError(f"--prompt {text}: {error}") from error
