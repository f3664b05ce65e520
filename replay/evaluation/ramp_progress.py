"""A ramp that goes on by itself: what the log says of the treated decides the next share, and the file carries it.

Every decision is a function of the log, the journal's last step and the strategy file. It is taken on days that are
over, after which the log holds a call, so that whoever reads the same log finds the same.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from analysis import time_zone
from analysis.alerting.notices import Notice
from analysis.calendar_days import DAY_MS
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation.rollout_log import observed
from replay.evaluation.rollout_monitor import monitor
from replay.evaluation.unit_table import CONTROL, TREATED
from replay.rollout import ramp_journal
from replay.rollout.monitors import Evidence
from replay.rollout.ramp import Ramp, RampDecision, decide
from replay.rollout.ramp_journal import Step
from replay.strategy import schema
from replay.strategy.rollout_schema import Rollout, written
from replay.strategy.schema import Strategy
from replay.traffic.traffic import EPOCH

SLACK_MS: Final = 2 * 3_600_000  # a share that came into force so early in a day had the whole day
ROLLED_BACK: Final = "rolled back"


@dataclass(frozen=True)
class Judgement:
    """A decision with the days, the treated units and the evidence that it rests on."""

    decision: RampDecision
    judged: date | None
    units: int
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Progress:
    """What was decided about a ramp: the share before and now, and why. `steps` are what the journal got."""

    name: str
    before: float
    found: Judgement
    steps: tuple[Step, ...]

    @property
    def action(self) -> str:
        """What the plan does: `advance`, `hold` or `roll back`."""
        return self.found.decision.action

    @property
    def share(self) -> float:
        """The share of the traffic from now on, 0 to 1."""
        return self.found.decision.share

    @property
    def summary(self) -> str:
        """In a sentence."""
        share = f"share {self.share:g}" if self.share == self.before else f"share {self.before:g} -> {self.share:g}"
        upto = f" ({self.found.units:,} units treated at it, up to {self.found.judged})" if self.found.judged else ""
        return f"{self.name}: {self.action}, {share}: {self.found.decision.why}{upto}."

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "action": self.action, "share_before": self.before, "share": self.share,
            "why": self.found.decision.why, "judged": self.found.judged and self.found.judged.isoformat(),
            "treated_units": self.found.units, "monitors": [one.to_json() for one in self.found.evidence],
            "steps": [msgspec.to_builtins(step) for step in self.steps],
        }  # fmt: skip


@dataclass(frozen=True)
class Repeated:
    """A step of the journal beside what the log says now. `again` is None where no evidence decided it."""

    step: Step
    again: Judgement | None

    @property
    def same_decision(self) -> bool:
        """Whether the step, repeated on the store of today, comes to the same share."""
        return self.again is None or self.again.decision.share == self.step.share

    @property
    def same_figures(self) -> bool:
        """Whether its evidence comes out the same."""
        return self.again is None or _plain(self.again.evidence) == self.step.evidence

    def to_json(self) -> dict[str, Any]:
        return {
            **msgspec.to_builtins(self.step), "repeated": self.again is not None,
            "same_decision": self.same_decision, "same_figures": self.same_figures,
        }  # fmt: skip


def advance(store: Store, path: Path, *, write: bool = True, now: datetime | None = None) -> Progress:
    """Decide about the ramp of a strategy file by the log; write the file and its journal where anything changes.

    Calls that begin after `now` (UTC, without a zone; default: the clock) are clocks that are wrong and do not count.
    Raises InputError for a file without a ramp, and what reading the file, the journal and the log raises.
    """
    with ramp_journal.locked(path):
        strategy = schema.load(path)
        rollout = _ramp(strategy, path)
        steps = ramp_journal.read(path)
        first, end = _extent(store, strategy.name, now or datetime.now(UTC).replace(tzinfo=None))
        if first is None or end is None:
            waits = RampDecision("hold", rollout.share, "no call under it is in the log yet")
            return Progress(strategy.name, rollout.share, Judgement(waits, None, 0, ()), ())
        last = steps[-1] if steps else None
        opening = _opening(last, rollout, _digest(strategy), first, end)
        basis = opening or last
        assert basis is not None
        found = judge(store, strategy, basis, _day(end) - timedelta(days=1))
        made = [] if opening is None else [opening]
        if found.decision.share != basis.share:
            made.append(
                Step(
                    end, "roll back" if found.decision.action == "roll back" else "advance", basis.share,
                    found.decision.share, found.decision.why, basis.begins, found.judged, found.units,
                    basis.policy, _plain(found.evidence),
                )
            )  # fmt: skip
        if write and found.decision.share != rollout.share:
            # the file first: if the journal is then not written, the next look takes the share for set by hand
            moved = written(path.read_text("utf-8"), rollout.model_copy(update={"share": found.decision.share}))
            ramp_journal.replace_file(path, moved.encode())
        if write and made:
            ramp_journal.write(path, [*steps, *made])
        return Progress(strategy.name, rollout.share, found, tuple(made))


def notices(store: Store, path: Path) -> list[Notice]:
    """`advance`, as what is to be told: one notice for each step of the journal. Raises as `advance`."""
    found = advance(store, path)
    told = []
    for step in found.steps:
        what = f"share {step.before:g} -> {step.share:g}" if step.share != step.before else f"share {step.share:g}"
        title = f"Rollout '{found.name}': {step.action}, {what}"
        command = f"hindcast rollout history {shlex.quote(str(path))} --store {shlex.quote(str(store.path))}"
        identity = f"rollout-{step.policy}-{step.at_ms}-{step.action.replace(' ', '-')}"
        told.append(Notice(identity, "rollout", title, (step.why,), command, None, {"step": msgspec.to_builtins(step)}))
    return told


def judge(store: Store, strategy: Strategy, basis: Step, judged: date) -> Judgement:
    """What follows the journal's step `basis` by the units that began up to the day `judged`."""
    share = basis.share
    if not share:
        why = basis.why if basis.action == "roll back" else "nobody is treated until a share is set"
        return Judgement(RampDecision("hold", 0.0, f"{ROLLED_BACK}: {why}"), None, 0, ())
    if judged < basis.begins:
        return Judgement(RampDecision("hold", share, f"no day since {basis.begins} is over"), None, 0, ())
    log = observed(store, strategy, rollout=basis.begins, until=judged)
    table = log.table
    drawn = (table.day >= log.day) & (table.arm >= CONTROL)
    evidence: tuple[Evidence, ...] = ()
    if drawn.any() and {CONTROL, TREATED} <= set(table.arm[drawn].tolist()):
        evidence = monitor(log, floor=strategy.quality.floor).looks[-1].evidence
    units = int((drawn & (table.arm == TREATED) & (table.day >= (_day(basis.at_ms) - EPOCH).days)).sum())
    over_ms = time_zone.day_start_ms(judged + timedelta(days=1))
    days = max((over_ms - basis.at_ms + SLACK_MS) // DAY_MS, 0)
    rollout = strategy.rollout
    assert rollout is not None
    decision = decide(Ramp(shares=rollout.ramp), share, days=days, units=units, evidence=evidence)
    return Judgement(decision, judged, units, evidence)


def history(store: Store, path: Path) -> list[Repeated]:
    """Each step of the journal, decided again by the log as it is now. Raises as `advance`.

    Calls that came after a decision change its figures; steps of an earlier version of the strategy are not repeated.
    """
    strategy = schema.load(path)
    _ramp(strategy, path)
    steps = ramp_journal.read(path)
    result = []
    for place, step in enumerate(steps):
        decided = step.judged is not None and step.policy == _digest(strategy) and place > 0
        again = judge(store, strategy, steps[place - 1], step.judged) if decided and step.judged else None
        result.append(Repeated(step, again))
    return result


def _opening(last: Step | None, rollout: Rollout, policy: str, first: int, end: int) -> Step | None:
    """The step that says where the ramp stands, where the journal's last does not: the first, or someone's own."""
    share, following = rollout.share, _day(end) + timedelta(days=1)
    if last is None:
        return Step(first, "begin", share, share, "its first call", _day(first), None, 0, policy, [])
    if last.policy != policy:
        least = min(share, rollout.ramp[0])
        why = "the strategy was changed: what the old one has shown counts no more"
        return Step(end, "begin again", share, least, why, following, None, 0, policy, [])
    if last.share != share:
        begins = following if last.action == "roll back" else last.begins
        return Step(end, "set by hand", last.share, share, "the file's share was changed", begins, None, 0, policy, [])
    return None


def _ramp(strategy: Strategy, path: Path) -> Rollout:
    if strategy.rollout is None or not strategy.rollout.ramp:
        raise InputError(
            "its rollout has no ramp", where=str(path),
            remedy="Write one: rollout: {share: 0.01, unit: conversation, seed: 1, ramp: [0.01, 0.05, 0.25, 1]}",
        )  # fmt: skip
    return strategy.rollout


def _digest(strategy: Strategy) -> str:
    """16 hex digits of what is rolled out, and of the draw: all of the file but the share and the ramp."""
    rollout = strategy.rollout
    assert rollout is not None
    plain = strategy.model_copy(update={"rollout": None, "description": None}).canonical_json()
    return hashlib.sha256(f"{rollout.unit}:{rollout.seed}:{plain}".encode()).hexdigest()[:16]


def _extent(store: Store, name: str, now: datetime) -> tuple[int | None, int | None]:
    """Start of the first and the last call with an arm of this policy, in milliseconds since 1970."""
    with store.read() as con:
        rows = con.execute(
            "SELECT epoch_ms(min(start_time)), epoch_ms(max(start_time)) FROM calls "
            "WHERE arm IS NOT NULL AND coalesce(rollout, $name) = $name AND start_time <= $now",
            {"name": name, "now": now},
        ).fetchall()
    return rows[0][0], rows[0][1]


def _day(ms: int) -> date:
    return time_zone.day_of(datetime(1970, 1, 1) + timedelta(milliseconds=ms))


def _plain(evidence: tuple[Evidence, ...]) -> list[dict[str, Any]]:
    """As JSON gives it back."""
    plain: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode([one.to_json() for one in evidence]))
    return plain
