"""Episodes: what is known of each alert and failed gate, so that it is told once, and once more when it is over.

The detector names the same change on every look, and may move its times a little as the log grows: an alert belongs to
the episode of its series whose detection is near. Alerts of several series that are one change (the total, an agent, a
model) make one episode with parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

import duckdb

from analysis import time_zone
from analysis.alerting.settings import WatchSettings
from analysis.anomalies.day_marks import Feedback
from analysis.early_warning.alert import Alert
from analysis.gates.result import GateResult
from ingest.store.database import has_tables

SAME: Final = timedelta(hours=3)  # between detections of one change, at two looks
TOGETHER: Final = timedelta(hours=2)  # between the starts of one change in several series
COVERS: Final = 1.5  # times an episode's dollars: what a part of it may come to
GATE: Final = "gate"
COSTS: Final = ("step", "ramp", "spike")
_LEADS: Final = ("agent", "template", "user", "model", "total")  # whose name says most, first

TOLD, SILENCED, OLD, PART, OVER = "told", "silenced", "old", "part", "over"


@dataclass(frozen=True)
class Episode:
    """A row of `watch_alerts`. `state`: told, silenced (not told yet), old (before the watch began), part (of
    `part_of`) or over. Times are UTC without a zone."""

    alert: Alert
    state: str
    seen: datetime
    told: datetime | None = None
    part_of: str | None = None

    @property
    def alert_id(self) -> str:
        """The identity of the alert that began it."""
        return id_of(self.alert)


@dataclass
class Changes:
    """What a look found: `fresh` episodes to be stored, the ones to `tell`, those that are `over`, and `known` ones
    whose alert has changed."""

    fresh: list[Episode] = field(default_factory=list)
    tell: list[tuple[Episode, list[Alert]]] = field(default_factory=list)  # with the parts of each
    over: list[Episode] = field(default_factory=list)
    known: list[Episode] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fresh or self.tell or self.over or self.known)


def id_of(alert: Alert) -> str:
    """The same for an alert at every look that it was first told from."""
    text = "\x1f".join((alert.dimension, alert.value or "\x00", _class(alert.kind), alert.detected.isoformat()))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _class(kind: str) -> str:
    return "cost" if kind in COSTS else kind


def compare(
    episodes: Sequence[Episode],
    alerts: Iterable[Alert],
    now: datetime,
    *,
    since: datetime,
    settings: WatchSettings,
    accepted: Mapping[date, Feedback],
) -> Changes:
    """What of `alerts` (all that stand out now) is new to the `episodes`, and what is over.

    `since`: detections before it are kept and not told. `accepted`: days of which somebody said that they are expected
    or planned. Pure, and idempotent: compared again with the changes applied, nothing changes.
    """
    changes = Changes()
    episodes = [one for one in episodes if one.alert.dimension != GATE]
    found: dict[str, Alert] = {}
    fresh: list[Alert] = []
    for alert in sorted(alerts, key=lambda one: (one.detected, _lead(one), one.value or "")):
        near = [one for one in episodes if _same(one.alert, alert)]
        free = [one for one in near if one.alert_id not in found]
        if free:
            episode = min(free, key=lambda one: abs(one.alert.detected - alert.detected))
            found[episode.alert_id] = alert
        elif near:
            continue
        elif not any(_same(one, alert) for one in fresh):
            fresh.append(alert)
    _take_fresh(changes, fresh, episodes, now, since, settings, accepted)
    for episode in episodes:
        latest = found.get(episode.alert_id)
        ended = latest.ended if latest is not None else episode.alert.ended
        gone = latest is None and now - episode.seen > SAME
        if episode.state == TOLD and (ended is not None or gone):
            over = replace(episode.alert, ended=ended or now)
            if latest is not None:
                over = replace(
                    over, usd_per_hour=latest.usd_per_hour, expected_usd_per_hour=latest.expected_usd_per_hour
                )
            changes.over.append(replace(episode, alert=over, state=OVER))
        elif episode.state == SILENCED:
            if ended is not None or gone:
                changes.known.append(replace(episode, state=OVER))
            elif latest is not None and not _silent(latest, now, settings, accepted):
                told = replace(episode, state=TOLD, told=now)
                changes.known.append(told)
                changes.tell.append((told, []))
    return changes


def _take_fresh(
    changes: Changes,
    fresh: list[Alert],
    episodes: Sequence[Episode],
    now: datetime,
    since: datetime,
    settings: WatchSettings,
    accepted: Mapping[date, Feedback],
) -> None:
    """Sort new alerts into episodes of their own and parts of others."""
    open_ones = [one for one in episodes if one.state in (TOLD, SILENCED)]
    leads: list[tuple[Episode, list[Alert]]] = []
    # the name that says most leads, unless another series changed by much more
    for alert in sorted(fresh, key=lambda one: (_lead(one), -abs(_excess(one)), one.value or "")):
        if alert.detected < since:
            changes.fresh.append(Episode(alert, OLD, now))
            continue
        if _class(alert.kind) == "cost" and abs(_excess(alert)) < settings.at_least_usd_per_hour:
            changes.fresh.append(Episode(alert, OLD, now))
            continue
        above = next((one for one in open_ones if _covers(one.alert, alert)), None)
        lead = next((pair for pair in leads if _covers(pair[0].alert, alert)), None)
        if above is not None:
            changes.fresh.append(Episode(alert, PART, now, part_of=above.alert_id))
        elif lead is not None:
            lead[1].append(alert)
            changes.fresh.append(Episode(alert, PART, now, part_of=lead[0].alert_id))
        else:
            silent = _silent(alert, now, settings, accepted)
            episode = Episode(alert, SILENCED if silent else TOLD, now, None if silent else now)
            leads.append((episode, []))
            changes.fresh.append(episode)
    changes.tell += [pair for pair in leads if pair[0].state == TOLD]


def _same(one: Alert, other: Alert) -> bool:
    return (
        (one.dimension, one.value, _class(one.kind)) == (other.dimension, other.value, _class(other.kind))
        and abs(one.detected - other.detected) <= SAME
    )  # fmt: skip


def _covers(one: Alert, other: Alert) -> bool:
    """Whether `other` is the same change as `one`, seen in another dimension."""
    return (
        one.dimension != other.dimension
        and GATE not in (one.dimension, other.dimension)
        and _class(one.kind) == _class(other.kind)
        and abs(one.started - other.started) <= TOGETHER
        and (_excess(one) > 0) == (_excess(other) > 0)
        and abs(_excess(other)) <= COVERS * abs(_excess(one))
    )


def _lead(alert: Alert) -> int:
    """The place of its dimension among those whose names say most."""
    return _LEADS.index(alert.dimension) if alert.dimension in _LEADS else len(_LEADS)


def _excess(alert: Alert) -> float:
    return alert.usd_per_hour - alert.expected_usd_per_hour


def _silent(alert: Alert, now: datetime, settings: WatchSettings, accepted: Mapping[date, Feedback]) -> bool:
    said = accepted.get(time_zone.day_of(alert.started))
    if said is not None and said.verdict in ("expected", "planned") and alert.dimension != GATE:
        return True
    return any(one.covers(now, alert.dimension, alert.value) for one in settings.silences)


def compare_gates(
    episodes: Sequence[Episode],
    results: Iterable[GateResult],
    failed: Callable[[GateResult], bool],
    now: datetime,
    *,
    settings: WatchSettings,
) -> Changes:
    """As `compare` for gates: one episode from the first failure of a gate to its next pass."""
    changes = Changes()
    open_ones = {one.alert.value: one for one in episodes if one.alert.dimension == GATE and one.state != OVER}
    for result in results:
        known = open_ones.get(result.name)
        if failed(result):
            alert = known.alert if known else Alert(GATE, result.name, GATE, now, now, 0.0, 0.0)
            silent = _silent(alert, now, settings, {})
            episode = Episode(alert, SILENCED if silent else TOLD, now, None if silent else now)
            if known is None:
                changes.fresh.append(episode)
            elif known.state == SILENCED and not silent:
                changes.known.append(replace(known, state=TOLD, told=now))
            else:
                continue
            if not silent:
                changes.tell.append((episode, []))
        elif known is not None and result.passed:
            over = replace(known, state=OVER, alert=replace(known.alert, ended=now))
            (changes.over if known.state == TOLD else changes.known).append(over)
    return changes


# -- the store ---------------------------------------------------------------------------------------------------------

_COLUMNS: Final = (
    "dimension, value, kind, started, detected, usd_per_hour, expected_usd_per_hour, ended, state, seen, told, part_of"
)


def read_episodes(con: duckdb.DuckDBPyConnection) -> list[Episode]:
    """All episodes of the store, in order of detection."""
    if not has_tables(con, "watch_alerts"):
        return []
    rows = con.execute(f"SELECT {_COLUMNS} FROM watch_alerts ORDER BY detected, alert_id").fetchall()
    return [Episode(Alert(*row[:8]), *row[8:]) for row in rows]


def write_changes(con: duckdb.DuckDBPyConnection, changes: Changes) -> None:
    """Store what a look found, inside the caller's transaction."""
    for one in (*changes.fresh, *changes.over, *changes.known):
        alert = one.alert
        con.execute("DELETE FROM watch_alerts WHERE alert_id = ?", [one.alert_id])
        con.execute(
            f"INSERT INTO watch_alerts (alert_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [one.alert_id, alert.dimension, alert.value, alert.kind, alert.started, alert.detected, alert.usd_per_hour,
             alert.expected_usd_per_hour, alert.ended, one.state, one.seen, one.told, one.part_of],
        )  # fmt: skip
