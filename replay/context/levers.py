"""What shorter contexts would have cost: ways to carry less, each replayed over the same calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from ingest.store.database import Store
from replay.engine.run import StrategyResult, run
from replay.strategy.schema import Strategy

# what it does -> its part of a strategy
WAYS: dict[str, dict[str, Any]] = {
    "keep the last 5 tool results of a request": {"compress": [{"tool_result_stub": {"keep": 5}}]},
    "keep the last 2 tool results of a request": {"compress": [{"tool_result_stub": {"keep": 2}}]},
    "drop all but the last 20 messages": {"compress": [{"history_window": {"messages": 20}}]},
    "drop all but the last 10 messages": {"compress": [{"history_window": {"messages": 10}}]},
    "send tool definitions without blanks and examples": {"compress": ["tool_schema_compact"]},
    "keep cached prefixes for an hour": {"provider_cache": {"mode": "on", "ttl": "1h"}},
}


def levers(
    store: Store, *, since: date | None, until: date | None, done: Callable[[str], None] | None = None
) -> tuple[StrategyResult, ...]:
    """The ways of WAYS that change the cost of the window, best first, each named by what it does."""
    strategies = [Strategy.model_validate({"name": about, **part}) for about, part in WAYS.items()]
    replay = run(store, strategies, since=since, until=until, done=done)
    found = [one for one in replay.strategies if any(one.savings_pico.values())]
    return tuple(sorted(found, key=lambda one: -sum(one.savings_pico.values())))
