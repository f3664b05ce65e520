"""Figures of a watch for Prometheus, named by its conventions (prometheus.io/docs/practices/naming)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from analysis.alerting.watch import Watch
from ingest.errors import InputError

PREFIX: Final = "hindcast"


class Collector:
    """What Prometheus collects, read from the watch when it is asked."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Any]:
        """The metric families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        watch, counts = self._watch, self._watch.counts

        def family(kind: Any, name: str, about: str, labels: tuple[str, ...], rows: dict[Any, float]) -> Any:
            made = kind(f"{PREFIX}_{name}", about, labels=labels)
            for key, value in sorted(rows.items()):
                made.add_metric(
                    [str(part) for part in (key if isinstance(key, tuple) else (key,))][: len(labels)], value
                )
            return made

        def counter(name: str, about: str, labels: tuple[str, ...], rows: dict[Any, float]) -> Any:
            return family(CounterMetricFamily, name, about, labels, rows)

        def gauge(name: str, about: str, labels: tuple[str, ...], rows: dict[Any, float]) -> Any:
            return family(GaugeMetricFamily, name, about, labels, rows)

        yield counter("ingested_calls", "Calls added to the store.", (), {(): counts.calls})
        yield counter("read_rows", "Rows read from logs and received exports.", (), {(): counts.rows})
        yield counter("quarantined_rows", "Rows that could not be used.", (), {(): counts.quarantined})
        if counts.cost_usd is not None:
            yield gauge("store_cost_usd", "Dollars of all calls of the store.", (), {(): counts.cost_usd})
        yield counter("alerts", "Alerts told.", ("dimension", "kind"), dict(counts.alerts))
        yield gauge("alerts_firing", "Alerts that go on.", ("dimension", "kind"), dict(watch.firing()))
        yield counter("alerts_resolved", "Alerts and gates that were told to be over.", (), {(): counts.resolved})
        yield gauge(
            "gate_passed", "1 where a gate is passed, 0 where it fails, NaN where the log cannot say.", ("gate",),
            {one.name: float("nan") if one.passed is None else float(one.passed) for one in watch.results},
        )  # fmt: skip
        outbox = watch.outbox
        yield counter("notices_sent", "Notices that a channel has taken.", ("channel",), dict(outbox.sent))
        yield counter("notice_failures", "Attempts that a channel did not take.", ("channel",), dict(outbox.failed))
        yield counter("notices_given_up", "Notices not sent any more.", ("channel",), dict(outbox.given_up))
        yield gauge("notices_waiting", "Notices to be sent.", ("channel",), dict(outbox.waiting))
        yield counter("work_failures", "Looks that failed, by kind of work.", ("work",), dict(counts.problems))
        yield gauge("work_duration_seconds", "What the last look took.", ("work",), dict(counts.took))
        yield gauge("work_last_success_timestamp_seconds", "When it last succeeded.", ("work",), dict(counts.last))
        yield counter("clock_jumps", "Jumps of the clock by more than a minute.", (), {(): counts.clock_jumps})
        yield gauge("missing_paths", "Followed paths that are not there.", (), {(): counts.missing})
        if watch.receiving is not None:
            received = watch.receiving.server.counts
            yield counter("otlp_requests", "Requests received.", ("signal", "code"), dict(received.requests))
            yield counter("otlp_records", "Records kept.", ("signal",), dict(received.kept))
            yield counter("otlp_left_out_records", "Records that tell no call.", ("signal",), dict(received.left_out))
            yield gauge(
                "journal_bytes", "Received and still on disk.", (), {(): watch.receiving.journal.waiting_bytes()}
            )


def serve(watch: Watch, host: str, port: int) -> tuple[int, Callable[[], None]]:
    """Serve the figures at http://HOST:PORT/metrics: the port, and how to stop. Raises InputError."""
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise InputError(
            "--metrics needs prometheus-client", remedy="Install it: pip install 'llm-hindcast[watch]'"
        ) from error
    registry = CollectorRegistry()
    registry.register(Collector(watch))
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot serve figures at {host}:{port}: {getattr(error, 'strerror', None) or error}",
            remedy="Choose another port: --metrics :9109",
        ) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, stop
