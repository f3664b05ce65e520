"""Every gate of the settings, those that need a replay among them."""

from __future__ import annotations

from datetime import datetime

from analysis.gates import evaluate as of_the_log
from analysis.gates.result import GateResult
from analysis.gates.settings import Settings
from ingest.store.database import Store
from replay.gates.rollout import rollout_gates


def evaluate(store: Store, settings: Settings, now: datetime) -> tuple[GateResult, ...]:
    """Every gate of `settings`, at `now` (aware; UTC). Raises what `analysis.gates.evaluate.evaluate`
    raises, and StrategyError for a strategy in force that cannot be used."""
    found = of_the_log.evaluate(store, settings, now)
    if settings.rollout is None:
        return found
    return (*found, *rollout_gates(store, settings.rollout, now))
