"""The gates that need the log and its ledger alone."""

from __future__ import annotations

from datetime import datetime

from analysis.gates.budgets import budget_gates
from analysis.gates.log_state import log_gates
from analysis.gates.result import GateResult
from analysis.gates.settings import Settings
from ingest.store.database import Store


def evaluate(store: Store, settings: Settings, now: datetime) -> tuple[GateResult, ...]:
    """Every gate of `settings` that needs no replay, at `now` (aware; UTC).

    Raises InputError where a budget names a value that no call has, or where the calls have no cost yet.
    """
    return (*budget_gates(store, settings, now), *log_gates(store, settings, now))
