"""`hindcast watch`: one process that follows logs, receives exports, judges what comes, and tells."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.settings_file import FILE
from cli.terminal.options import between
from cli.terminal.output import DEFAULT_STORE, StoreOption, note, say

if TYPE_CHECKING:
    from analysis.alerting.channels import Send
    from analysis.alerting.notices import Notice
    from analysis.alerting.settings import WatchSettings
    from analysis.alerting.watch import Receiving, Watch


def register(app: typer.Typer) -> None:
    app.command()(watch)


def watch(
    paths: Annotated[list[Path] | None, typer.Argument(help="Log files and folders to follow.")] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="ADDRESS", help="Receive OTLP over HTTP here, such as 127.0.0.1:4318."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="ADDRESS", help="Serve figures for Prometheus, such as :9109.")
    ] = None,
    settings: Annotated[Path, typer.Option("--settings", help="The file with channels, silences and gates.")] = FILE,
    every: Annotated[
        float, typer.Option(help="Seconds between two looks at the logs.", callback=between(0.1, 3_600))
    ] = 5.0,
    gates: Annotated[bool, typer.Option(help="Judge the gates of the settings file too.")] = True,
    rollout: Annotated[
        list[Path] | None,
        typer.Option("--rollout", metavar="FILE", help="Let the ramp of this strategy file go on, or roll back."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, tell, and end: for a schedule.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test notice to every channel, and end.")] = False,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Keep keyed hashes, lengths and token counts, never a text.")
    ] = False,
    metadata_only: Annotated[bool, typer.Option("--metadata-only", help="Keep nothing of the messages.")] = False,
    redact: Annotated[
        bool, typer.Option("--redact", help="Mask keys, passwords, e-mail, card and phone numbers.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Follow logs and tell of a jump in the bill while it happens.

    Each alert and each failed gate is told once, with its cause, on the terminal and through the channels of
    hindcast.toml, and once more when it is over.

    Example: hindcast watch ~/.claude/projects --listen 127.0.0.1:4318
    """
    from analysis.alerting import settings as watch_settings
    from analysis.alerting.channels import open_channel
    from ingest.errors import InputError
    from ingest.store.address import open_store

    if settings != FILE and not settings.is_file():
        raise InputError("there is no such file", where=str(settings), remedy="The channels: docs/watch.md")
    chosen = watch_settings.read(settings)
    channels = {one.name: open_channel(one) for one in chosen.channels}
    if test:
        _test(channels)
        return
    for path in paths or ():
        if not path.exists():  # later it may vanish and come back
            raise InputError("there is no such file or folder", where=str(path))
    if not paths and listen is None and not open_store(store).exists():
        raise InputError(
            "there is nothing to watch", remedy="Name a folder of logs, or receive them: --listen 127.0.0.1:4318"
        )
    options: dict[str, Any] = {
        "text": not no_text, "metadata_only": metadata_only, "redact": [] if redact else None,
    }  # fmt: skip
    stop = _stop_on_signals()
    with ExitStack() as stack:
        receiving = (
            None if listen is None else _receive(stack, Path(store), listen, private=no_text or metadata_only or redact)
        )
        watched = _watch(
            store, chosen, channels, paths or [], receiving, settings if gates else None, rollout or [], options
        )
        if metrics is not None:
            _serve_metrics(stack, watched, metrics)
        _introduce(watched, paths or [], chosen)
        while not stop.is_set():
            watched.look()
            if once:
                break
            stop.wait(every)
        watched.close(patience_s=60.0 if once else 5.0)
    if not once:
        note("Stopped; everything received is in the store, and what is not told yet is told at the next start.")


def _watch(
    store: str,
    chosen: WatchSettings,
    channels: dict[str, Send],
    paths: list[Path],
    receiving: Receiving | None,
    gates: Path | None,
    rollouts: list[Path],
    options: dict[str, Any],
) -> Watch:
    from datetime import UTC, datetime

    from analysis.alerting.watch import Watch
    from analysis.gates import settings as gate_settings
    from ingest.store.address import open_store
    from replay.gates.evaluate import evaluate

    target = open_store(store)
    limits = None if gates is None else gate_settings.read(gates)

    def judge(now: datetime) -> Any:
        assert limits is not None
        return evaluate(target, limits, now.replace(tzinfo=UTC))

    def steps() -> list[Notice]:
        from replay.evaluation.ramp_progress import notices

        return [notice for path in rollouts for notice in notices(target, path)]

    return Watch(
        target, chosen, channels, paths=paths, receiving=receiving, gates=None if limits is None else judge,
        gate_fails=(lambda result: result.passed is False) if limits is None else limits.fails,
        rollouts=steps if rollouts else None,
        tell=_tell, complain=lambda line: note(f"hindcast: {line}"), options=options,
    )  # fmt: skip


def _receive(stack: ExitStack, store: Path, listen: str, *, private: bool) -> Receiving:
    from analysis.alerting.watch import Receiving
    from ingest.receive.export_body import has_protobuf
    from ingest.receive.journal import KEPT_SECONDS, Journal, inbox_of
    from ingest.receive.otlp_server import TOKEN, address_of, is_local, receive_into

    journal = Journal(inbox_of(store), kept_seconds=0.0 if private else KEPT_SECONDS)
    stack.callback(journal.close)
    server = receive_into(journal, listen)
    stack.callback(server.stop)
    note(f"Receiving OTLP at http://{server.host}:{server.port} (OTEL_EXPORTER_OTLP_ENDPOINT)")
    if not has_protobuf():
        note("Only JSON is understood (OTEL_EXPORTER_OTLP_PROTOCOL=http/json); for protobuf: "
             "pip install 'llm-hindcast[watch]'")  # fmt: skip
    if not is_local(address_of(listen)[0]):
        note(f"Warning: other machines reach this address, and the connection is not encrypted. With {TOKEN} set, "
             "only who sends that token as a bearer is heard.")  # fmt: skip
    return Receiving(journal, server)


def _serve_metrics(stack: ExitStack, watched: Watch, address: str) -> None:
    from analysis.alerting.metrics import serve
    from ingest.receive.otlp_server import address_of

    host, port = address_of(address)
    port, end = serve(watched, host, port)
    stack.callback(end)
    note(f"Figures for Prometheus at http://{host}:{port}/metrics")


def _introduce(watched: Watch, paths: list[Path], chosen: WatchSettings) -> None:
    followed = f"Following {', '.join(map(str, paths))}. " if paths else ""
    told = ", ".join(f"{one.name} ({one.kind})" for one in chosen.channels) or "this terminal only"
    note(f"{followed}Store: {watched.store.address}. Telling: {told}. Ctrl-C ends it.")


def _tell(notice: Notice) -> None:
    say(notice.text)
    say()


def _test(channels: dict[str, Send]) -> None:
    from analysis.alerting.channels import UndeliveredError
    from analysis.alerting.notices import Notice
    from ingest.errors import GateError, InputError

    if not channels:
        raise InputError("no channel is configured", remedy="Add [watch.channels.NAME] to hindcast.toml: docs/watch.md")
    failed = []
    for name, send in channels.items():
        try:
            send(Notice("test", "test", "A test of this channel: alerts will look like this."))
            say(f"{name}: taken")
        except UndeliveredError as error:
            failed.append(name)
            say(f"{name}: not taken: {error}")
    if failed:
        raise GateError(f"{len(failed)} of {len(channels)} channels did not take the notice: {', '.join(failed)}")


def _stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set; a second one of them ends the process at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        return stop

    def handle(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop
