"""The gates that `hindcast.toml` asks for.

[budget]                                 # the whole bill
usd_per_day = 200
usd_per_month = 4000

[budget.agent.drafting_agent]            # of one value of a dimension
tokens_per_week = 50_000_000
rule = "forecast"                        # fails when the period is heading beyond it; "hard": when it is spent

[gates]
unpriced_share = 0.01
cannot_say = "fail"                      # or "show", the default, or a list of names of gates

[rollout]
strategy = "strategies/combined.yaml"
since = 2026-03-12
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal

from analysis import settings_file
from analysis.dimensions import Condition, dimension, unquoted
from analysis.gates.result import GateResult
from analysis.settings_file import FILE, SettingsFile
from ingest.errors import InputError, did_you_mean

Unit = Literal["usd", "tokens"]
Period = Literal["day", "week", "month"]
Rule = Literal["hard", "forecast"]
UNITS: Final[tuple[Unit, ...]] = ("usd", "tokens")
PERIODS: Final[tuple[Period, ...]] = ("day", "week", "month")
RULES: Final[tuple[Rule, ...]] = ("hard", "forecast")
LIMITS: Final = {f"{unit}_per_{period}": (unit, period) for unit, period in product(UNITS, PERIODS)}
SHARES: Final = {"unpriced_share": "unpriced", "unusable_share": "unusable", "ambiguous_share": "ambiguous"}
DEFAULT_SHARE: Final = Decimal("0.01")
NAMES: Final = (
    "flagged day", "unpriced share", "ambiguous share", "unusable share", "score", "quality", "latency p95", "hit rate",
    "dollars a day", "drift", "rebound",
)  # fmt: skip
"""What the gates are called beside the budgets."""
_GATES: Final = (
    "flagged_days", *SHARES, "score_floor", "quality_floor", "latency_p95_ms", "usd_per_day", "dearer_share",
    "hit_rate", "days", "cannot_say",
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """A limit on dollars or tokens of a calendar period, of all calls or of those with one value of a dimension."""

    limit: Decimal
    unit: Unit
    period: Period
    rule: Rule = "hard"
    of: Condition | None = None

    @property
    def name(self) -> str:
        """`budget usd_per_month agent=drafting_agent`."""
        return f"budget {self.unit}_per_{self.period}" + (f" {self.of}" if self.of else "")


@dataclass(frozen=True)
class Rollout:
    """The strategy in force, and the first UTC day that it was."""

    strategy: Path
    since: date


@dataclass(frozen=True)
class Settings:
    """The gates of a team. A gate whose limit is None is left out.

    The shares, `latency_p95_ms` and `score_floor`, the mean score of answers, are of the calls of the last `days` days.
    `quality_floor`, relative to what was logged, `usd_per_day`, else what the baseline costs and `dearer_share` of it,
    `hit_rate` and `latency_p95_ms` are asked of a strategy that is proposed.
    """

    path: Path = FILE
    budgets: tuple[Budget, ...] = ()
    flagged_days: bool = True
    unpriced_share: Decimal | None = DEFAULT_SHARE
    unusable_share: Decimal | None = DEFAULT_SHARE
    ambiguous_share: Decimal | None = DEFAULT_SHARE
    score_floor: Decimal | None = None
    quality_floor: Decimal | None = None
    latency_p95_ms: Decimal | None = None
    usd_per_day: Decimal | None = None
    dearer_share: Decimal = Decimal("0.05")
    hit_rate: Decimal | None = None
    days: int = 7
    cannot_say: bool | tuple[str, ...] = False  # whether, or of which gates, it counts as a failure
    rollout: Rollout | None = None

    def fails(self, result: GateResult) -> bool:
        """Whether a result is a failure: a gate that failed, or one that cannot say where that counts as such."""
        if result.passed is not None:
            return not result.passed
        return self.cannot_say if isinstance(self.cannot_say, bool) else result.name in self.cannot_say

    def budget(self, period: Period) -> Decimal | None:
        """The dollars that the whole bill of a period may come to."""
        found = (one.limit for one in self.budgets if one.of is None and (one.unit, one.period) == ("usd", period))
        return next(found, None)

    @property
    def daily(self) -> Decimal | None:
        """The whole bill's budget as dollars a day; a month has 30.4 days on average."""
        day, month = self.budget("day"), self.budget("month")
        return day if day is not None or month is None else (month / Decimal("30.4")).quantize(Decimal("0.01"))


def read(path: Path = FILE) -> Settings:
    """The gates of a settings file; the defaults where there is none. Raises InputError that names the key."""
    return parse(settings_file.read(path))


def parse(file: SettingsFile) -> Settings:
    """The gates of a settings file. Raises InputError that names the key."""
    given = file.section("gates", _GATES)
    limits: dict[str, Any] = {}
    for name in SHARES:
        if name in given:
            limits[name] = _optional(file, name, given[name], "a share", Decimal(1))
    for name, what, most in (
        ("score_floor", "a score", Decimal(1)),
        ("quality_floor", "a share of today's quality", Decimal(2)),
        ("latency_p95_ms", "a number of milliseconds", None),
        ("usd_per_day", "an amount of dollars", None),
        ("hit_rate", "a share", Decimal(1)),
    ):
        if name in given:
            limits[name] = _optional(file, name, given[name], what, most)
    if "dearer_share" in given:
        zero = given["dearer_share"] == 0 and not isinstance(given["dearer_share"], bool)
        limits["dearer_share"] = Decimal(0) if zero else file.number("dearer_share", given["dearer_share"], "a share")
    if "flagged_days" in given:
        if not isinstance(given["flagged_days"], bool):
            raise file.error(f"flagged_days = {given['flagged_days']!r} is neither true nor false")
        limits["flagged_days"] = given["flagged_days"]
    if "days" in given:
        days = file.number("days", given["days"], "a whole number of days", most=Decimal(3650))
        if days != int(days):
            raise file.error(f"days = {given['days']!r} is not a whole number")
        limits["days"] = int(days)
    budgets = tuple(_budgets(file))
    return Settings(
        path=file.path,
        budgets=budgets,
        cannot_say=_cannot_say(file, given.get("cannot_say", "show"), [*NAMES, *(one.name for one in budgets)]),
        rollout=_rollout(file),
        **limits,
    )


def _optional(file: SettingsFile, name: str, value: object, what: str, most: Decimal | None) -> Decimal | None:
    """A limit; `false` leaves the gate out."""
    return None if value is False else file.number(name, value, what, most=most)


def _budgets(file: SettingsFile) -> Iterator[Budget]:
    whole = file.section("budget")
    yield from _limits(file, whole, "[budget]", None)
    for name, values in whole.items():
        if not isinstance(values, dict):
            continue
        try:
            of = dimension(name, "filter")
        except InputError as error:
            raise file.error(f"[budget.{name}]: {error.what}", remedy=error.remedy) from error
        if of.kind == "time":
            raise file.error(
                f"[budget.{name}]: a budget has its own period", remedy=f"Write one of {', '.join(LIMITS)} in [budget]."
            )
        for value, limits in values.items():
            table = f"[budget.{name}.{value}]"
            if not isinstance(limits, dict):
                raise file.error(
                    f"[budget.{name}] names no value of '{name}'",
                    remedy=f"Write: [budget.{name}.VALUE] and {value} below.",
                )
            held = Condition(of, unquoted(value), exact=True)
            found = list(_limits(file, limits, table, held))
            if not found:
                raise file.error(f"{table} sets no limit", remedy=f"Write one of {', '.join(LIMITS)}.")
            yield from found


def _limits(file: SettingsFile, table: dict[str, Any], name: str, of: Condition | None) -> Iterator[Budget]:
    """The budgets of one table; the total's also holds the tables of the dimensions."""
    rule = table.get("rule", "hard")
    if rule not in RULES:
        raise file.error(f"{name} rule = {rule!r} is none of {', '.join(RULES)}", remedy=did_you_mean(str(rule), RULES))
    for key, value in table.items():
        if isinstance(value, dict) and of is None:
            continue
        if key == "rule":
            continue
        if key not in LIMITS:
            raise file.error(f"{name} has no key '{key}'", remedy=did_you_mean(key, [*LIMITS, "rule"]))
        unit, period = LIMITS[key]
        what = "an amount of dollars" if unit == "usd" else "a number of tokens"
        yield Budget(file.number(key, value, what), unit, period, rule, of)


def _cannot_say(file: SettingsFile, value: object, names: Sequence[str]) -> bool | tuple[str, ...]:
    if value in ("show", "fail"):
        return value == "fail"
    if isinstance(value, list):
        for one in value:
            if one not in names:
                raise file.error(f"cannot_say names no gate '{one}'", remedy=did_you_mean(str(one), names))
        return tuple(value)
    raise file.error(
        f"cannot_say = {value!r} is neither 'show' nor 'fail' nor a list of gates", remedy='Write: cannot_say = "fail"'
    )


def _rollout(file: SettingsFile) -> Rollout | None:
    given = file.section("rollout", ("strategy", "since"))
    if not given:
        return None
    for key in ("strategy", "since"):
        if key not in given:
            raise file.error(f"[rollout] lacks '{key}'", remedy="It needs strategy and since, the first day in force.")
    since = given["since"]
    if isinstance(since, str):
        try:
            since = date.fromisoformat(since)
        except ValueError:
            since = None
    if isinstance(since, datetime):
        since = since.date()
    if not isinstance(since, date):
        raise file.error(f"[rollout] since = {given['since']!r} is not a day", remedy="Write: since = 2026-03-12")
    if not isinstance(given["strategy"], str):
        raise file.error(f"[rollout] strategy = {given['strategy']!r} is not the path of a strategy file")
    return Rollout(file.path.parent / given["strategy"], since)
