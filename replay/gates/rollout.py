"""Gates on the strategy in force: whether it costs what was forecast, and whether its savings were asked away again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final

from analysis.formatting import share
from analysis.gates.periods import local_day
from analysis.gates.result import GateResult
from analysis.gates.settings import Rollout
from analysis.money import dollars
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation.rollout_effects import ANSWER, CALLS
from replay.evaluation.verification import Verification
from replay.evaluation.verify import verify
from replay.strategy.schema import load

TOLERATED: Final = 0.1  # a rise whose upper 95 % bound is at most this is no rebound


def rollout_gates(store: Store, rollout: Rollout, now: datetime) -> Iterator[GateResult]:
    """Drift and rebound of the strategy since its first day. Raises StrategyError for a file that cannot be used."""
    strategy = load(rollout.strategy)
    try:
        found = verify(store, strategy, rollout=rollout.since, until=local_day(now))
    except InputError as error:
        why = f"{strategy.name} cannot be held against its forecast: {error.what}."
        yield GateResult("drift", None, None, None, "usd", why, error.remedy)
        yield GateResult("rebound", None, None, None, "share", why, error.remedy)
        return
    remedy = f"hindcast verify {rollout.strategy} --from {rollout.since}"
    yield _drift(found, remedy)
    yield _rebound(found, remedy)


def _drift(found: Verification, remedy: str) -> GateResult:
    """Dearer than the forecast's 90 % interval fails; cheaper is no failure."""
    if found.obstacle:
        return GateResult("drift", None, None, None, "usd", found.summary, remedy)
    passed = found.realised_pico <= found.high_pico
    realised, high = dollars(found.realised_pico), dollars(found.high_pico)
    return GateResult("drift", passed, realised, high, "usd", found.summary, None if passed else remedy)


def _rebound(found: Verification, remedy: str) -> GateResult:
    """More calls, or longer answers, per unit of demand than without the rollout."""
    name, unit = "rebound", "share"
    risen = found.effects.rebound
    if risen is not None:
        measured = Decimal(str(round(risen.estimate.relative or 0.0, 6)))
        text = f"{risen.measure.capitalize()} per {found.unit} rose by {share(float(measured))} with the rollout."
        return GateResult(name, False, measured, Decimal(0), unit, text, remedy)
    seen = found.effects.get(CALLS) or found.effects.get(ANSWER)
    if seen is None:
        return GateResult(name, None, None, Decimal(0), unit, found.effect_summary, remedy)
    measured = Decimal(str(round(seen.estimate.relative or 0.0, 6)))
    bounds = seen.estimate.relative_interval()
    small = measured <= 0 or (bounds is not None and bounds[1] <= TOLERATED)
    rose = share(float(measured), sign=True)
    why = "no rebound" if small else "too few days or units to tell a rebound from chance"
    text = f"{seen.measure.capitalize()} per {found.unit}: {rose}, {why}."
    return GateResult(name, True if small else None, measured, Decimal(0), unit, text, None if small else remedy)
