"""One look after another: what is new is ingested and priced, the detector and the gates judge it, and people are told.

A look does what is due and returns. Nothing is remembered outside the store and the journal, so that a process that
takes over after a kill repeats nothing and forgets nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from analysis.alerting import outbox
from analysis.alerting.alert_causes import causes_of
from analysis.alerting.channels import Send
from analysis.alerting.episodes import (
    COSTS,
    TOLD,
    Changes,
    Episode,
    compare,
    compare_gates,
    read_episodes,
    write_changes,
)
from analysis.alerting.notices import (
    Notice,
    alert_notice,
    gate_notice,
    gate_resolved_notice,
    resolved_notice,
)
from analysis.alerting.outbox import Outbox
from analysis.alerting.settings import WatchSettings
from analysis.anomalies.annotations import read_annotations
from analysis.anomalies.day_marks import marks
from analysis.early_warning.alert import Alert
from analysis.early_warning.sequential_detector import alerts
from analysis.early_warning.ten_minute_sums import BIN, ten_minute_sums
from analysis.gates.result import GateResult
from analysis.ledger.update import update
from ingest.errors import HindcastError, StoreError
from ingest.pipeline.follow import Follower
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.receive.journal import Journal
from ingest.receive.late_names import name_calls
from ingest.receive.open_traces import Name
from ingest.receive.otlp_server import OtlpServer
from ingest.store.database import Store, has_tables

SINCE: Final = "watch_since"  # of `meta`: detections before the first watch of a store are not told
LATE: Final = timedelta(seconds=20)  # after the end of ten minutes, that senders of calls may take
BUSY: Final = 0.25  # of a processor that may go into a kind of work: a large store is looked at less often
JUDGE_S: Final = 10.0
GATES_S: Final = 300.0
JUMP_S: Final = 60.0  # between the clock and the time that passed
SETTLE: Final = timedelta(minutes=15)  # after a jump of the clock, before silence is believed
NAMED_LOOKS: Final = 20  # at which a name may wait for its call


@dataclass
class Counts:
    """What has happened since the start."""

    calls: int = 0
    rows: int = 0
    quarantined: int = 0
    cost_usd: float | None = None  # of all calls of the store
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)  # told, by dimension and kind
    resolved: int = 0
    problems: Counter[str] = field(default_factory=Counter)  # looks that failed, by what was tried
    clock_jumps: int = 0
    missing: int = 0  # paths that are not there now
    last: dict[str, float] = field(default_factory=dict)  # seconds since 1970 at which each kind of work last succeeded
    took: dict[str, float] = field(default_factory=dict)  # seconds that it took


@dataclass
class Receiving:
    """The server of --listen and its journal."""

    journal: Journal
    server: OtlpServer


class Watch:
    """`tell` gets each notice as it is made, `complain` lines about what does not work."""

    def __init__(
        self,
        store: Store,
        settings: WatchSettings,
        channels: Mapping[str, Send],
        *,
        paths: Sequence[Path] = (),
        receiving: Receiving | None = None,
        gates: Callable[[datetime], Sequence[GateResult]] | None = None,
        gate_fails: Callable[[GateResult], bool] = lambda result: result.passed is False,
        rollouts: Callable[[], Sequence[Notice]] | None = None,
        tell: Callable[[Notice], None] = lambda _: None,
        complain: Callable[[str], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).replace(tzinfo=None),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.settings = settings
        self.counts = Counts()
        self.outbox = Outbox(store, channels)
        self.episodes: list[Episode] = []
        self.results: tuple[GateResult, ...] = ()
        self.receiving = receiving
        self._channels = tuple(channels)
        self._follower = Follower(store, paths, **(options or {}))
        self._options = dict(options or {})
        self._taken: dict[Path, int] = {}  # files of the journal, and the size up to which they are in the store
        self._names: list[tuple[Name, int]] = []
        self._gates = gates
        self._gate_fails = gate_fails
        self._rollouts = rollouts  # takes the steps of ramps that are due, and says what it did
        self._tell = tell
        self._complain = complain
        self._clock = clock
        self._due: dict[str, float] = {}
        self._said: dict[str, str] = {}
        self._judged: tuple[datetime, int] | None = None  # the ten minutes, and the publish, last judged
        self._before: tuple[datetime, float] | None = None
        self._unsettled_until: datetime | None = None
        self._ready = False
        self._closed = False

    def look(self) -> None:
        """Do what is due. What fails is counted and said once, and tried again at the next look."""
        now = self._clock()
        self._watch_clock(now)
        self._attempt("ingest", lambda: self._ingest(), 0.0)
        if self.store.exists():
            self._attempt("prepare", self._prepare, 0.0)
            self._attempt("judge", lambda: self._judge(now), JUDGE_S)
            if self._gates is not None:
                self._attempt("gates", lambda: self._check_gates(now), GATES_S)
            if self._rollouts is not None:
                self._attempt("rollout", lambda: self._go_on(now), GATES_S)
            self._attempt("tell", lambda: self.outbox.step(now), 0.0)
            for channel, problem in self.outbox.problems.items():
                self._say(f"channel {channel}", problem)

    def close(self, patience_s: float = 5.0) -> None:
        """Receive no more, take over what was received, and send what is due, for at most so many seconds."""
        if self.receiving is not None:
            self.receiving.server.stop()
            self._closed = True
        self._attempt("ingest", lambda: self._ingest(), 0.0, now=True)
        if self.store.exists() and self._ready:
            self._attempt("tell", lambda: self.outbox.drain(self._clock(), patience_s), 0.0, now=True)

    def _attempt(self, what: str, work: Callable[[], None], every_s: float, *, now: bool = False) -> None:
        """Do a kind of work if it is due: not more often than `every_s`, nor for more than a share of a processor."""
        began, used = time.monotonic(), time.process_time()
        if not now and began < self._due.get(what, 0.0):
            return
        try:
            work()
        except Exception as error:  # what fails in one kind of work must not end the others, nor the receiver
            self.counts.problems[what] += 1
            first = str(error).splitlines()[0] if str(error) else ""
            known = isinstance(error, (HindcastError, OSError))
            self._say(what, first if known and first else f"{type(error).__name__}: {first}")
        else:
            self._said.pop(what, None)
            self.counts.last[what] = time.time()
        took = time.monotonic() - began
        self.counts.took[what] = took
        self._due[what] = began + max(every_s, (time.process_time() - used) / BUSY)

    def _say(self, what: str, problem: str) -> None:
        """Complain of the same once."""
        if self._said.get(what) != problem:
            self._said[what] = problem
            self._complain(f"{what}: {problem}")

    def _watch_clock(self, now: datetime) -> None:
        """Notice a clock that jumped: what seems silent then may only have been asleep."""
        passed = time.monotonic()
        if self._before is not None:
            drift = (now - self._before[0]).total_seconds() - (passed - self._before[1])
            if abs(drift) > JUMP_S:
                self.counts.clock_jumps += 1
                self._unsettled_until = now + SETTLE
                self._due.clear()
                self._complain(f"the clock jumped by {drift:+,.0f} s; silence is not judged for a while")
        self._before = now, passed

    # -- ingesting -------------------------------------------------------------------------------------------------

    def _ingest(self) -> None:
        gone = self._follower.missing()
        self.counts.missing = len(gone)
        for path in gone:
            self._say(f"folder {path}", "is not there; it is read as soon as it is")
        reports = [self._follower.look(), self._take_journal()]
        new = 0
        for report in filter(None, reports):
            new += report.calls
            self.counts.calls += report.calls
            self.counts.rows += report.rows
            self.counts.quarantined += report.quarantined
        if self.store.exists() and (new or self.counts.cost_usd is None):
            cost = update(self.store).cost_usd
            self.counts.cost_usd = float(cost or 0)

    def _take_journal(self) -> IngestReport | None:
        if self.receiving is None:
            return None
        if not self._closed and not self.receiving.server.alive():
            raise StoreError("the server of --listen has ended")
        journal = self.receiving.journal
        if self._closed:
            journal.close()
        else:
            journal.put_old_aside()
        complete = journal.complete()
        sizes = {path: path.stat().st_size for path in journal.files()}
        waiting = [path for path, size in sizes.items() if self._taken.get(path, 0) != size]
        report = ingest(self.store, waiting, format="otlp_received", **self._options) if waiting else None
        if report is None or not report.problems:
            self._taken = sizes  # or less than is there by now, which the next look sees
            journal.remove(complete)
        self._names += [(name, NAMED_LOOKS) for name in self.receiving.server.traces.take_names()]
        if self._names and self.store.exists():
            with self.store.write() as con:
                left = set(name_calls(con, [name for name, _ in self._names]))
            self._names = [(name, looks - 1) for name, looks in self._names if name in left and looks > 1]
        return report

    # -- judging ---------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        if self._ready:
            return
        with self.store.write() as con:
            outbox.create_tables(con)
            con.execute(
                "INSERT INTO meta SELECT $key, $now WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = $key)",
                {"key": SINCE, "now": (self._clock() - BIN).isoformat()},
            )
        self._ready = True

    def _judge(self, now: datetime) -> None:
        """Ask the detector about the last whole ten minutes, and whether those that run cost too much already.

        What runs can only come to more, so an alert that it costs too much is certain before it is over.
        """
        last_bin = _last_bin(now)
        state = last_bin, self.store.publish_number()
        if state == self._judged:
            return
        with self.store.read() as con:
            if not has_tables(con, "costs"):
                return
        running = last_bin + BIN
        found = []
        for one in alerts(ten_minute_sums(self.store, running), running):
            if one.detected <= last_bin:
                found.append(replace(one, ended=None) if one.ended and one.ended > last_bin else one)
            elif one.kind in COSTS and one.usd_per_hour > one.expected_usd_per_hour:
                found.append(replace(one, ended=None))
        if self._unsettled_until is not None and now < self._unsettled_until:
            found = [one for one in found if one.kind != "silence"]
        self._take_alerts(found, now)
        self._judged = last_bin, self.store.publish_number()

    def _take_alerts(self, found: Sequence[Alert], now: datetime) -> None:
        with self.store.read() as con:
            self.episodes = read_episodes(con)
            accepted = marks(con)
            noted = read_annotations(con)
            since = datetime.fromisoformat(
                con.execute("SELECT value FROM meta WHERE key = ?", [SINCE]).fetchall()[0][0]
            )
        changes = compare(self.episodes, found, now, since=since, settings=self.settings, accepted=accepted)
        if not changes:
            return
        where = self.store.address
        notices = []
        for episode, parts in changes.tell:
            alert = episode.alert
            whole = _last_bin(now)  # up to which its dollars are; of ten minutes that run, up to now
            until = alert.ended or (whole if alert.detected <= whole else now)
            causes = causes_of(self.store, alert, until) if alert.kind in COSTS else None
            notices.append(alert_notice(episode, parts, causes, noted, store=where, dashboard=self.settings.dashboard))
        notices += [resolved_notice(one, store=where, dashboard=self.settings.dashboard) for one in changes.over]
        self._publish(changes, notices, now)

    def _check_gates(self, now: datetime) -> None:
        if self._gates is None:
            return
        self.results = tuple(self._gates(now))
        with self.store.read() as con:
            episodes = read_episodes(con)
        changes = compare_gates(episodes, self.results, self._gate_fails, now, settings=self.settings)
        if not changes:
            return
        by_name = {one.name: one for one in self.results}
        notices = [gate_notice(one, by_name[one.alert.value or ""]) for one, _ in changes.tell]
        notices += [gate_resolved_notice(one, by_name.get(one.alert.value or "")) for one in changes.over]
        self._publish(changes, notices, now)

    def _go_on(self, now: datetime) -> None:
        if self._rollouts is not None and (notices := self._rollouts()):
            self._publish(None, notices, now)

    def _publish(self, changes: Changes | None, notices: Sequence[Notice], now: datetime) -> None:
        with self.store.write() as con:
            if changes:
                write_changes(con, changes)
            outbox.put(con, notices, self._channels, now)
        with self.store.read() as con:
            self.episodes = read_episodes(con)
        for episode, _ in changes.tell if changes else ():
            self.counts.alerts[episode.alert.dimension, episode.alert.kind] += 1
        self.counts.resolved += len(changes.over) if changes else 0
        for notice in notices:
            self._tell(notice)

    def firing(self) -> Counter[tuple[str, str]]:
        """How many alerts go on now, by dimension and kind."""
        return Counter((one.alert.dimension, one.alert.kind) for one in self.episodes if one.state == TOLD)


def _last_bin(now: datetime) -> datetime:
    """The end of the last ten minutes whose calls have come."""
    return datetime.min + (now - LATE - datetime.min) // BIN * BIN
