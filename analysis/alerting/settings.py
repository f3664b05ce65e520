"""What `hindcast watch` is told in `hindcast.toml`: channels, silence windows and limits. Secrets are not in it.

[watch]
dashboard = "http://costs.example:8501"      # links of notices lead there
at_least_usd_per_hour = 1                    # alerts about less are kept, and not told

[watch.channels.ops]
type = "slack"                               # webhook, slack, teams, discord, mail, apprise
url_env = "OPS_SLACK_URL"                    # the environment variable that holds the address

[watch.channels.mail]
type = "mail"
host = "smtp.example"
from = "hindcast@example.com"
to = ["team@example.com"]
user = "hindcast"
password_env = "SMTP_PASSWORD"

[[watch.silences]]                           # alerts that begin then are told afterwards, if they go on
from = 2026-05-03T10:00:00
until = 2026-05-03T14:00:00
agent = "batch*"                             # of these only; without it, of everything

[[watch.silences]]
days = ["Sat", "Sun"]                        # every week, all day or
hours = "22:00-06:00"                        # these hours (UTC)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from analysis import settings_file
from analysis.settings_file import FILE, SettingsFile
from ingest.errors import InputError, did_you_mean

KINDS: Final = ("webhook", "slack", "teams", "discord", "mail", "apprise")
TLS: Final = ("starttls", "tls", "none")
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DIMENSIONS: Final = ("total", "agent", "model", "user", "template", "gate")
_SECRET: Final = ("url", "password", "urls", "token")
_CHANNEL: Final = ("type", "url_env", "host", "port", "from", "to", "user", "password_env", "tls")
_WATCH: Final = ("dashboard", "at_least_usd_per_hour", "channels", "silences")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class ChannelSettings:
    """One channel: addresses and passwords are named by the environment variables that hold them."""

    name: str
    kind: str
    url_env: str | None = None
    host: str = "localhost"
    port: int | None = None
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    user: str | None = None
    password_env: str | None = None
    tls: str = "starttls"


@dataclass(frozen=True)
class Silence:
    """When alerts are not told, and about which dimension's values (globs; none: about all). Times in UTC."""

    begin: datetime | None = None
    end: datetime | None = None
    days: tuple[int, ...] = ()  # of the week, 0 = Monday; none: every day
    hours: tuple[time, time] | None = None  # from, until; over midnight where the second is not later
    of: Mapping[str, str] = field(default_factory=dict)

    def covers(self, moment: datetime, dimension: str, value: str | None) -> bool:
        """Whether something about this value is silent at this moment (UTC without a zone)."""
        if any(name != dimension or not fnmatchcase(value or "(none)", glob) for name, glob in self.of.items()):
            return False
        if (self.begin and moment < self.begin) or (self.end and moment >= self.end):
            return False
        day = moment.weekday()
        if self.hours is not None:
            first, last = self.hours
            at = moment.time()
            if first < last:
                if not first <= at < last:
                    return False
            elif at < last:
                day = (day - 1) % 7  # of the night that began the day before
            elif at < first:
                return False
        return not self.days or day in self.days


@dataclass(frozen=True)
class WatchSettings:
    """The section [watch]."""

    path: Path = FILE
    channels: tuple[ChannelSettings, ...] = ()
    silences: tuple[Silence, ...] = ()
    dashboard: str | None = None
    at_least_usd_per_hour: float = 0.0


def read(path: Path = FILE) -> WatchSettings:
    """The section of a settings file; the defaults where there is none. Raises InputError that names the key."""
    return parse(settings_file.read(path))


def parse(file: SettingsFile) -> WatchSettings:
    """The section of a settings file. Raises InputError that names the key."""
    given = file.section("watch", _WATCH)
    channels = given.get("channels", {})
    silences = given.get("silences", [])
    if not isinstance(channels, dict) or not all(isinstance(one, dict) for one in channels.values()):
        raise file.error("channels are tables", remedy="Write: [watch.channels.NAME] and its keys below it.")
    if not isinstance(silences, list) or not all(isinstance(one, dict) for one in silences):
        raise file.error("silences are a list of tables", remedy="Write: [[watch.silences]] and its keys below it.")
    dashboard = given.get("dashboard")
    if dashboard is not None and (
        not isinstance(dashboard, str) or re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", dashboard) is None
    ):
        raise file.error("dashboard is no address of pages", remedy='Write: dashboard = "http://localhost:8501"')
    least = given.get("at_least_usd_per_hour")
    return WatchSettings(
        path=file.path,
        channels=tuple(_channel(file, name, one) for name, one in channels.items()),
        silences=tuple(_silence(file, one) for one in silences),
        dashboard=dashboard.rstrip("/") if dashboard else None,
        at_least_usd_per_hour=0.0
        if least is None
        else float(file.number("at_least_usd_per_hour", least, "dollars an hour")),
    )


def _channel(file: SettingsFile, name: str, given: dict[str, Any]) -> ChannelSettings:
    table = f"[watch.channels.{name}]"
    if not _NAME.fullmatch(name):
        raise file.error(f"{table}: a channel's name has letters, digits, - and _ only")
    for key in given:
        if key in _SECRET:
            raise file.error(
                f"{table}: {key} is a secret, and does not belong into a file",
                remedy=f'Put it into the environment, and write: {key}_env = "NAME_OF_THE_VARIABLE"',
            )
        if key not in _CHANNEL:
            raise file.error(f"{table} has no key '{key}'", remedy=did_you_mean(key, _CHANNEL))
    kind = given.get("type")
    if kind not in KINDS:
        raise file.error(f"{table} type = {kind!r} is none of {', '.join(KINDS)}")
    recipients = given.get("to", [])
    recipients = recipients if isinstance(recipients, list) else [recipients]
    texts = [given.get(key) for key in ("url_env", "host", "from", "user", "password_env") if key in given]
    if not all(isinstance(one, str) and one.isprintable() and one for one in [*texts, *recipients]):
        raise file.error(f"{table}: addresses and names are texts of one line")
    port = given.get("port")
    if port is not None and (type(port) is not int or not 0 < port < 65_536):
        raise file.error(f"{table} port = {port!r} is no port")
    if given.get("tls", "starttls") not in TLS:
        raise file.error(f"{table} tls = {given['tls']!r} is none of {', '.join(TLS)}")
    if kind == "mail" and not ("from" in given and recipients):
        raise file.error(f"{table} needs from and to", remedy='Write: from = "me@example.com" and to = ["you@..."]')
    if kind != "mail" and "url_env" not in given:
        raise file.error(
            f"{table} needs url_env, the name of the environment variable that holds the address",
            remedy=f'Write: url_env = "{name.upper().replace("-", "_")}_URL"',
        )
    return ChannelSettings(
        name=name, kind=kind, url_env=given.get("url_env"), host=given.get("host", "localhost"), port=port,
        sender=given.get("from"), recipients=tuple(recipients), user=given.get("user"),
        password_env=given.get("password_env"), tls=given.get("tls", "starttls"),
    )  # fmt: skip


def _silence(file: SettingsFile, given: dict[str, Any]) -> Silence:
    known = ("from", "until", "days", "hours", *DIMENSIONS)
    for key in given:
        if key not in known:
            raise file.error(f"[[watch.silences]] has no key '{key}'", remedy=did_you_mean(key, known))
    moments = []
    for key in ("from", "until"):
        value = given.get(key)
        if value is not None and not isinstance(value, datetime):
            raise file.error(f"{key} = {value!r} is no time", remedy=f"Write: {key} = 2026-05-03T10:00:00 (UTC)")
        moments.append(value.astimezone(UTC).replace(tzinfo=None) if value and value.tzinfo else value)
    if moments[0] and moments[1] and moments[0] >= moments[1]:
        raise file.error(f"a silence from {moments[0]} until {moments[1]} never comes")
    days = given.get("days", [])
    days = days if isinstance(days, list) else [days]
    for one in days:
        if one not in DAYS:
            raise file.error(f"days: {one!r} is none of {', '.join(DAYS)}")
    if not any(key in given for key in ("from", "until", "days", "hours")):
        raise file.error("[[watch.silences]] has no time", remedy="Write from and until, days or hours.")
    of: dict[str, Any] = {name: given[name] for name in DIMENSIONS if name in given}
    if not all(isinstance(value, str) for value in of.values()):
        raise file.error("[[watch.silences]]: values of dimensions are texts, with * and ?")
    return Silence(moments[0], moments[1], tuple(DAYS.index(one) for one in days), _hours(file, given.get("hours")), of)


def _hours(file: SettingsFile, value: Any) -> tuple[time, time] | None:
    if value is None:
        return None
    try:
        first, _, last = str(value).partition("-")
        hours = time.fromisoformat(first.strip()), time.fromisoformat(last.strip())
        if any(one.tzinfo for one in hours):
            raise ValueError("hours have no zone of their own")
    except ValueError as error:
        raise InputError(
            f"hours = {value!r} are no hours", where=str(file.path), remedy='Write: hours = "22:00-06:00"'
        ) from error
    return hours
