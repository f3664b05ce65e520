"""What is told: an alert, a failed gate, or that one is over, as plain values and as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from analysis import time_zone
from analysis.alerting.alert_causes import Causes, to_json
from analysis.alerting.episodes import COSTS, GATE, Episode
from analysis.anomalies.annotations import Annotation
from analysis.causes.drilldown import commands
from analysis.dimensions import NONE
from analysis.early_warning.alert import Alert
from analysis.formatting import money
from analysis.gates.result import GateResult
from analysis.money import dollars

SUSPECT: Final = timedelta(days=1)  # before the start of a change, in which a mark may be its cause
LONGEST: Final = 300  # characters of a line


@dataclass(frozen=True)
class Notice:
    """One message. `title` is its first line; `notice_id` is the same each time that it is sent."""

    notice_id: str
    event: str  # alert, resolved, gate, gate_resolved, rollout, test
    title: str
    lines: tuple[str, ...] = ()
    command: str | None = None
    url: str | None = None
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of it, a line each."""
        rest = [*self.lines, *([f"Calls: {self.command}"] if self.command else []), *([self.url] if self.url else [])]
        return "\n".join([self.title, *rest])

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the JSON of a webhook has them."""
        return {
            "id": self.notice_id, "event": self.event, "title": self.title, "lines": list(self.lines),
            "command": self.command, "url": self.url, **self.values,
        }  # fmt: skip

    @classmethod
    def of_json(cls, document: dict[str, Any]) -> Notice:
        """The notice of a document that `to_json` made."""
        rest = dict(document)
        return cls(
            rest.pop("id"), rest.pop("event"), rest.pop("title"), tuple(rest.pop("lines")), rest.pop("command"),
            rest.pop("url"), rest,
        )  # fmt: skip


def alert_notice(
    episode: Episode,
    parts: Sequence[Alert],
    causes: Causes | None,
    marks: Sequence[Annotation],
    *,
    store: str,
    dashboard: str | None,
) -> Notice:
    """The notice that an alert has begun."""
    alert = episode.alert
    suspects = [one for one in marks if alert.started - SUSPECT <= one.time <= alert.detected]
    lines = []
    if causes is not None and causes.drivers:
        lines += [
            _driver(causes, one.segment, one.what, one.pico_per_hour, one.before, one.after) for one in causes.drivers
        ]
        rest = causes.rest_pico_per_hour
        smaller = f"{money(dollars(rest), sign=True)}/h in smaller parts; " if rest else ""
        change = money(dollars(causes.change_pico_per_hour), sign=True)
        lines.append(f"{smaller}together {change}/h against the same hours before")
    if suspects:
        lines.append(f"Just before: {suspects[-1].text} ({_at(suspects[-1].time)})")
    named = [_who(one) for one in parts if one.value is not None or one.dimension == "total"]
    if named:
        lines.append("Also seen in: " + ", ".join(named[:5]))
    return Notice(
        f"{episode.alert_id}-alert", "alert", _line(title(alert)), tuple(map(_line, lines)), _command(alert, store),
        _page(dashboard, alert),
        {
            **alert.to_json(),
            "alert_id": episode.alert_id,
            "excess_usd_per_hour": round(alert.usd_per_hour - alert.expected_usd_per_hour, 6),
            "causes": to_json(causes) if causes is not None else None,
            "marks": [one.to_json() for one in suspects],
            "also": [one.to_json() for one in parts],
        },
    )  # fmt: skip


def resolved_notice(episode: Episode, *, store: str, dashboard: str | None) -> Notice:
    """The notice that an alert is over."""
    alert = episode.alert
    ended = alert.ended or alert.detected
    lasted = max((ended - alert.started) / timedelta(hours=1), 0.0)
    spent = Decimal(str(round((alert.usd_per_hour - alert.expected_usd_per_hour) * lasted, 6)))
    cost = f", and came to {money(spent, sign=True)}" if alert.kind in COSTS else ""
    lines = [f"It lasted from {_at(alert.started)} to {_at(ended)}{cost}."]
    return Notice(
        f"{episode.alert_id}-resolved", "resolved", _line(f"Over: {_who(alert)} is as expected again"), tuple(lines),
        _command(alert, store), _page(dashboard, alert), {**alert.to_json(), "alert_id": episode.alert_id},
    )  # fmt: skip


def gate_notice(episode: Episode, result: GateResult) -> Notice:
    """The notice that a gate fails."""
    lines = (result.remedy,) if result.remedy else ()
    return Notice(
        f"{episode.alert_id}-gate", "gate", _line(f"Gate '{result.name}' fails: {result.sentence}"),
        tuple(map(_line, lines)), None, None, {"gate": result.to_json(), "alert_id": episode.alert_id},
    )  # fmt: skip


def gate_resolved_notice(episode: Episode, result: GateResult | None) -> Notice:
    """The notice that a gate that failed is passed again."""
    return Notice(
        f"{episode.alert_id}-gate-resolved", "gate_resolved", _line(f"Gate '{episode.alert.value}' passes again"),
        (_line(result.sentence),) if result else (), None, None,
        {"gate": result.to_json() if result else None, "alert_id": episode.alert_id},
    )  # fmt: skip


def title(alert: Alert) -> str:
    """What stands out, in one line."""
    since = f"since {_at(alert.started)}"
    who = _who(alert)
    now, usual = _usd(alert.usd_per_hour), _usd(alert.expected_usd_per_hour)
    if alert.kind == "silence":
        return f"{who}: no calls {since}, where there always are some ({usual}/h expected)"
    if alert.kind in ("unusable", "unpriced"):
        what = "fail or are cut off" if alert.kind == "unusable" else "have no price"
        return f"{who}: many more calls than before {what} {since}"
    more = alert.usd_per_hour > alert.expected_usd_per_hour
    verb = "rose" if more else "fell"
    if alert.kind != "step":
        verb = {"ramp": ("is falling", "is climbing"), "spike": ("dipped", "jumped")}[alert.kind][more]
    return f"{who} {verb}: {now}/h instead of {usual}/h {since}"


def _who(alert: Alert) -> str:
    if alert.dimension == "total":
        return "The whole bill"
    return f"{alert.dimension} {alert.value if alert.value is not None else NONE}"


def _usd(amount: float) -> str:
    return money(Decimal(str(round(amount, 6))))


def _at(moment: datetime) -> str:
    """A moment (UTC without a zone) on the clock of the days' zone: `Wed 20 May 12:00 UTC`."""
    here = time_zone.local(moment)
    return f"{here:%a} {here.day} {here:%b %H:%M} {time_zone.label()}"


def _driver(causes: Causes, segment: dict[str, str | None], what: str, pico: int, before: float, after: float) -> str:
    where = " / ".join(value for value in segment.values() if value is not None) or NONE
    share = f" ({100 * pico / causes.change_pico_per_hour:.0f} %)" if causes.change_pico_per_hour else ""
    amount = f"{money(dollars(pico), sign=True)}/h{share} {where}"
    if what == "calls":
        return f"{amount}: {before:,.1f} -> {after:,.1f} calls an hour"
    if what == "dollars_per_call":
        return f"{amount}: {_usd(before)} -> {_usd(after)} a call"
    return f"{amount}: " + (f"new, {after:,.1f} calls an hour" if what == "new" else "has stopped")


def _command(alert: Alert, store: str) -> str | None:
    """A command line that lists the calls behind it; of one hour where it lies within one."""
    if alert.dimension == GATE:
        return None
    place = {} if alert.dimension == "total" else {alert.dimension: alert.value}
    command = commands([place], time_zone.day_of(alert.started), store=store)[0]
    first, last = time_zone.local(alert.started), time_zone.local(alert.detected - timedelta(minutes=10))
    if first.replace(minute=0) == last.replace(minute=0):
        command += f" --where 'hour={first:%Y-%m-%dT%H:00:00}'"
    return command


def _page(dashboard: str | None, alert: Alert) -> str | None:
    return f"{dashboard}/spike?day={time_zone.day_of(alert.started)}" if dashboard else None


def _line(text: str) -> str:
    """One printable line: names come from logs."""
    return "".join(mark if mark.isprintable() else " " for mark in text)[:LONGEST]
