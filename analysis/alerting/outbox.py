"""What is still to be told, kept in the store until each channel has taken it.

A notice is written in the transaction that makes its episode, and marked once a channel has taken it: it is sent at
least once, and again only where a kill came between the two (then with the same id). A channel that hangs or fails
holds up no other.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import duckdb

from analysis.alerting.channels import Send, UndeliveredError
from analysis.alerting.notices import Notice
from ingest.store.database import Store, has_tables
from ingest.store.schema import TABLES

DEADLINE_S: Final = 30.0  # of one attempt, whatever a server does
FIRST_PAUSE: Final = timedelta(seconds=15)
LONGEST_PAUSE: Final = timedelta(hours=1)
GIVE_UP: Final = timedelta(days=2)


@dataclass
class _Attempt:
    channel: str
    notice_id: str
    created: datetime
    attempts: int
    thread: threading.Thread
    began: float
    outcome: UndeliveredError | None = None
    done: bool = False


def put(con: duckdb.DuckDBPyConnection, notices: Iterable[Notice], channels: Iterable[str], now: datetime) -> None:
    """Add notices for each of the channels, inside the caller's transaction."""
    names = list(channels)
    for notice in notices:
        body = json.dumps(notice.to_json())
        for name in names:
            con.execute(
                """INSERT INTO watch_notices SELECT $id, $alert, $channel, $body, $now, 0, $now, NULL, NULL, NULL
                    WHERE NOT EXISTS (SELECT 1 FROM watch_notices WHERE notice_id = $id AND channel = $channel)""",
                {"id": notice.notice_id, "alert": notice.values.get("alert_id"), "channel": name, "body": body,
                 "now": now},
            )  # fmt: skip


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """The tables of the watch, where a store has none yet."""
    for name in ("watch_alerts", "watch_notices"):
        con.execute(f"CREATE TABLE IF NOT EXISTS {name} ({TABLES[name]})")


class Outbox:
    """Sends what waits in the store through `channels`, one attempt for each at a time, in threads of their own."""

    def __init__(self, store: Store, channels: Mapping[str, Send], *, deadline_s: float = DEADLINE_S) -> None:
        self._store = store
        self._channels = dict(channels)
        self._deadline_s = deadline_s
        self._running: dict[str, _Attempt] = {}
        self.sent: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()  # attempts
        self.given_up: Counter[str] = Counter()
        self.waiting: dict[str, int] = dict.fromkeys(channels, 0)
        self.problems: dict[str, str] = {}  # of channels, what the last attempt met

    def step(self, now: datetime) -> None:
        """Record what attempts have come to, and begin those that are due. Waits for nothing but the store."""
        self._record([one for one in self._running.values() if self._over(one)], now)
        if not self._channels:
            return
        with self._store.read() as con:
            if not has_tables(con, "watch_notices"):
                return
            rows = con.execute(
                """SELECT channel, notice_id, body, created, attempts, next_attempt FROM watch_notices
                    WHERE sent IS NULL AND given_up IS NULL ORDER BY created, notice_id"""
            ).fetchall()
        self.waiting = {name: sum(row[0] == name for row in rows) for name in self._channels}
        for channel, notice_id, body, created, attempts, due in rows:
            # a clock that was set back must not hold a notice up for longer than a pause
            if channel in self._channels and channel not in self._running and not now < due <= now + LONGEST_PAUSE:
                self._begin(channel, Notice.of_json(json.loads(body)), notice_id, created, attempts)

    def drain(self, now: datetime, patience_s: float) -> None:
        """Send what is due, for at most so many seconds."""
        until = time.monotonic() + patience_s
        self.step(now)
        while self._running and time.monotonic() < until:
            time.sleep(0.02)
            if any(self._over(one) for one in self._running.values()):
                self.step(now)

    def _begin(self, channel: str, notice: Notice, notice_id: str, created: datetime, attempts: int) -> None:
        send = self._channels[channel]

        def work() -> None:
            try:
                send(notice)
            except UndeliveredError as error:
                attempt.outcome = error
            except Exception as error:  # of a library, whose words may hold an address
                attempt.outcome = UndeliveredError(type(error).__name__)
            attempt.done = True

        thread = threading.Thread(target=work, name=f"hindcast-{channel}", daemon=True)
        attempt = _Attempt(channel, notice_id, created, attempts, thread, time.monotonic())
        self._running[channel] = attempt
        thread.start()

    def _over(self, attempt: _Attempt) -> bool:
        if attempt.done:
            return True
        if time.monotonic() - attempt.began < self._deadline_s:
            return False
        attempt.outcome = UndeliveredError(f"no end within {self._deadline_s:.0f} s")  # its thread is left to itself
        return True

    def _record(self, over: list[_Attempt], now: datetime) -> None:
        if not over:
            return
        with self._store.write() as con:
            for one in over:
                problem = one.outcome
                if problem is None:
                    change, values = "sent = $now, problem = NULL", {}
                elif _gives_up(one, problem, now):
                    change, values = "given_up = $now, problem = $problem", {"problem": str(problem)}
                else:
                    pause = min(FIRST_PAUSE * 2 ** min(one.attempts, 20), LONGEST_PAUSE)
                    change = "next_attempt = $due, problem = $problem"
                    values = {"due": now + pause, "problem": str(problem)}
                con.execute(
                    f"""UPDATE watch_notices SET attempts = attempts + 1, {change}
                         WHERE notice_id = $id AND channel = $channel""",
                    {
                        "id": one.notice_id,
                        "channel": one.channel,
                        **({"now": now} if "$now" in change else {}),
                        **values,
                    },
                )
        for one in over:
            del self._running[one.channel]
            if one.outcome is None:
                self.sent[one.channel] += 1
                self.problems.pop(one.channel, None)
            else:
                self.failed[one.channel] += 1
                self.problems[one.channel] = str(one.outcome)
                self.given_up[one.channel] += _gives_up(one, one.outcome, now)


def _gives_up(attempt: _Attempt, problem: UndeliveredError, now: datetime) -> bool:
    return problem.final or now - attempt.created > GIVE_UP
