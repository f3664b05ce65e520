"""`hindcast ingest` and `hindcast mapping init`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal.options import SHARE, between, choice
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from cli.python_api.log_ingest import IngestReport
    from ingest.store.database import Store

LISTED_FILES = 5  # more are counted together


def register(app: typer.Typer) -> None:
    app.command("ingest")(ingest)
    mapping = typer.Typer(help="Describe a log of your own to Hindcast.", no_args_is_help=True)
    mapping.command("init")(mapping_init)
    app.add_typer(mapping, name="mapping")


def _format_names() -> list[str]:
    from ingest.formats import formats

    return sorted(one.name for one in formats())


def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Log files or folders; plain, .gz or .zst.")] = None,
    store: StoreOption = DEFAULT_STORE,
    format: Annotated[
        str | None, choice("--format", _format_names, "Read the files as this format instead of recognising it.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="A mapping file (YAML) for logs of your own layout.")] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Keep keyed hashes, lengths and token counts, never a text.")
    ] = False,
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="Keep nothing of the messages: fastest, and sufficient for cost.")
    ] = False,
    key: Annotated[Path | None, typer.Option(help="The key file for --no-text (default: beside the store).")] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Mask keys, passwords, e-mail, card and phone numbers.")
    ] = False,
    redact_pattern: Annotated[
        list[str] | None, typer.Option(help="Mask this regular expression too (repeatable, implies --redact).")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Time zone of timestamps that name none.")] = "UTC",
    max_bad_ratio: Annotated[
        float | None, typer.Option(help="Exit 1 if more than this share of the rows is invalid.", callback=SHARE)
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit 1 if anything with usage was not read, or has tokens of two readings."),
    ] = False,
    count_tokens: Annotated[bool, typer.Option("--count-tokens", help="Count every text's tokens right away.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Store nothing: say what each file is, why, and what it lacks.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep reading as the files grow and new ones appear; Ctrl-C ends it.")
    ] = False,
    every: Annotated[
        float, typer.Option(help="Polling interval while following, in seconds.", callback=between(0.1, 86_400))
    ] = 2.0,
    match_formats: Annotated[
        bool,
        typer.Option(help="Count calls logged by two tools once: same model and tokens, starts within 2 s."),
    ] = True,
    wait: Annotated[
        float,
        typer.Option(help="Seconds to wait while another ingest works on the store.", callback=between(0, 86_400)),
    ] = 60.0,
    workers: Annotated[
        int | None, typer.Option(help="Parser processes (default: one per processor, at most 8).", min=1, max=64)
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="ADDRESS", help="Into a lake: on the workers of this Dask scheduler.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Read LLM call logs into the store, each call once.

    Example: hindcast ingest logs/ more.jsonl.zst
    """
    if not paths:
        _offer(store)
        return
    if explain:
        _explain(paths, mapping, format, json_)
        return
    from ingest.pipeline.workers import prepare

    prepare(paths, workers)
    from cli.python_api.log_ingest import load_pricing, price_new_calls, read_logs
    from cli.terminal.output import note, progress
    from ingest.store.address import is_lake, open_store

    target = open_store(store)
    options: dict[str, Any] = {
        "format": format,
        "mapping": mapping,
        "text": not no_text,
        "metadata_only": metadata_only,
        "hash_key": key,
        "redact": (redact_pattern or []) if redact or redact_pattern else None,
        "workers": workers,
        "wait": wait,
        "match_formats": match_formats,
    }
    if follow:
        _follow(target, paths, every, timezone, options)
        return
    with progress("Reading") as bar:
        report = read_logs(
            target, paths, on=on, timezone=timezone, tell=note, progress=bar, meanwhile=load_pricing, **options
        )
    if is_lake(store) and len({file["format"] for file in report.files}) > 1:
        note("Calls logged by two tools are counted twice in a lake; ids decide.")
    if count_tokens:
        from ingest.contents.tokenizer import ENCODINGS, ensure_counted

        with progress("Counting tokens", unit="texts") as bar:
            ensure_counted(target, ENCODINGS, bar)
    priced = price_new_calls(target, report)
    _tell(target, priced, json_)
    for problem in report.problems:
        note(f"hindcast: {problem}")
    if report.problems:
        raise typer.Exit(2)
    if max_bad_ratio is not None:
        report.check(max_bad_ratio)
    if strict:
        report.check_strict()


def _follow(store: Any, paths: list[Path], every: float, timezone: str, options: dict[str, Any]) -> None:
    from analysis.formatting import count
    from cli.python_api.log_ingest import price_new_calls
    from cli.terminal.output import note
    from ingest.errors import InputError
    from ingest.pipeline.follow import follow
    from ingest.records.timestamps import zone_named
    from ingest.store.address import is_lake

    if is_lake(store.address):
        raise InputError(
            "--follow reads into a DuckDB file",
            remedy="Run the same ingest into a lake from a timer: what has not changed is not read again.",
        )
    options = {**options, "zone": zone_named(timezone)}

    def tell(report: Any) -> None:
        price_new_calls(store, report)
        bad = f", {count(report.quarantined, 'unusable row')}" if report.quarantined else ""
        note(f"{count(report.calls, 'new call')} from {count(len(report.files), 'file')}{bad}")

    note(f"Following {', '.join(str(path) for path in paths)}; Ctrl-C ends it.")
    try:
        follow(store, paths, every=every, on_report=tell, **options)
    except KeyboardInterrupt:
        note("Stopped; everything read so far is in the store.")


def _tell(store: Store, priced: IngestReport, json_: bool) -> None:
    from analysis.formatting import count
    from cli.logs import first_answer
    from cli.logs.status import day_in_words, newest_day
    from cli.terminal.output import emit_json, say

    if json_:
        emit_json(priced.document())
        return
    say(priced.summary, style="bold")
    report = priced.report
    if len(report.files) <= LISTED_FILES:
        say()
        _show_files(report.files)
        say()
    else:
        formats = ", ".join(sorted({file["format"] for file in report.files}))
        say(
            f"Read as {formats}: {count(report.rows, 'row')}, {count(report.duplicates, 'duplicate')}, "
            f"{report.quarantined:,} unusable, {report.skipped:,} that are no calls"
        )
    for text in _notes(priced):
        say(text)
    found = first_answer.recent(store) if priced.cost is not None else None
    if found is not None:
        say()
        day = newest_day(store, found)
        first_answer.show_recent(found, day_in_words(day) if day else [])
    say()
    say("Next: hindcast cost --by day,model   ·   hindcast diagnose   ·   hindcast dashboard")


def _show_files(files: list[dict[str, Any]]) -> None:
    from cli.terminal.output import table

    counts = ("rows", "calls", "duplicates", "quarantined")
    rows = [
        [Path(file["path"]).name, file["format"], *(f"{file[name]:,}" for name in counts),
         f"{sum(file['skipped'].values()):,}"]
        for file in files
    ]  # fmt: skip
    table(["file", "format", "rows", "new calls", "duplicates", "unusable", "no calls"], rows, left=(0, 1))


def _notes(priced: IngestReport) -> list[str]:
    """The calls without a price, and what could not be used."""
    from analysis.formatting import count, money

    report = priced.report
    notes = []
    if priced.unpriced_calls:
        notes.append(
            f"{count(priced.unpriced_calls, 'call')} of the store without a price (hindcast cost names their models)"
        )
    if priced.logged_cost is not None:
        notes.append(f"logged cost in the store: {money(priced.logged_cost)}")
    if report.quarantined:
        notes.append(f"not usable: {count(report.quarantined, 'row')}, each in quarantine with its reason:")
        for file in report.files:
            for bad in file["bad_rows"][:3]:
                notes.append(f"  {Path(file['path']).name}:{bad['row']}: {bad['reason']} at {bad['json_path']}")
        del notes[12:]
    for file in report.files:
        for lost in file["left_out"]:
            spent = f", ${lost['logged_cost_usd']} logged" if Decimal(lost["logged_cost_usd"]) else ""
            notes.append(
                f"not read, {Path(file['path']).name}: {count(lost['rows'], 'row')} with usage, {lost['reason']} "
                f"({lost['tokens']:,} tokens{spent})"
            )
    del notes[20:]
    if report.ambiguous:
        notes.append(f"{count(report.ambiguous, 'call')} whose tokens can be read in two ways: no price")
    elsewhere = sum(file["logged_elsewhere"] for file in report.files)
    if elsewhere:
        notes.append(
            f"{count(elsewhere, 'duplicate')} of calls stored under another id: from another tool's log, the printed "
            "output of a run, or this log read with or without texts"
        )
    if report.hidden:
        notes.append(
            f"hidden and not read: {count(len(report.hidden), 'entry', 'entries')}, such as {report.hidden[0]}; "
            "name what is a log"
        )
    if report.passed_over:
        notes.append(f"passed over: {count(len(report.passed_over), 'file')}, such as {report.passed_over[0]}")
    return notes


def _offer(store: str) -> None:
    """Without a path: list the logs at their known locations, and say how to read them."""
    from cli.logs.status import ingest_command, show_found_logs
    from cli.terminal.output import say
    from ingest.detect.known_locations import find_logs

    logs = find_logs()
    if not logs:
        say("Name what to read: hindcast ingest PATH...   (no logs were found at their known locations)")
        raise typer.Exit(2)
    option = "" if store == DEFAULT_STORE else f" --store {store}"
    show_found_logs(logs)
    say()
    say(f"Next: {ingest_command(logs)}{option}")


def _explain(paths: list[Path], mapping: Path | None, format: str | None, json_: bool) -> None:
    from dataclasses import asdict

    from analysis.formatting import count, share
    from cli.terminal.output import emit_json, say, table
    from ingest.detect.explain_file import explain
    from ingest.mapping_file import load_mapping

    chosen = load_mapping(mapping) if mapping is not None else None
    found = [explain(path, mapping=chosen, format=format) for path in paths]
    if json_:
        emit_json({"files": [asdict(one) for one in found]})
        return
    for one in found:
        say(f"{Path(one.path).name} is {one.title}, because {one.because}.", style="bold")
        passed = sum(one.skipped.values())
        no_calls = f"{count(passed, 'row')} that {'is no call' if passed == 1 else 'are no calls'}"
        packed = "" if one.compression == "none" else f", {one.compression}"
        say(f"{one.layout}{packed}; the first {count(one.rows, 'row')}: {count(one.calls, 'call')}, "
            f"{no_calls}, {len(one.bad_rows):,} unusable")  # fmt: skip
        if one.filled:
            rows = [[name, share(part), str(one.example.get(name, ""))[:60]] for name, part in one.filled.items()]
            say()
            table(["field", "filled", "in the first call"], rows, left=(0, 2))
        say()
        for label, counts in (("agents named by", one.agent_sources), ("tokens", one.tokens_sources),
                              ("flagged", one.issues), ("no calls", one.skipped)):  # fmt: skip
            if counts:
                say(f"{label}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
        for bad in one.bad_rows:
            say(f"unusable row {bad['row']}: {bad['reason']} at {bad['json_path']}")
        for text in one.cannot:
            say(f"Cannot: {text}")
        say()
    say(f"Next: hindcast ingest {' '.join(str(path) for path in paths[:3])}")


def mapping_init(
    path: Annotated[Path, typer.Argument(help="A log of your own layout: JSONL, CSV or Parquet.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the draft here, not to stdout.")] = None,
) -> None:
    """Draft a mapping file from the first records of a log.

    Example: hindcast mapping init calls.csv -o calls.mapping.yaml
    """
    from ingest.detect.draft_mapping import draft_mapping

    text = draft_mapping(path)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text)
        typer.echo(f"Wrote {output}. Check it, then: hindcast ingest {path} --mapping {output}", err=True)
