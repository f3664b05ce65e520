"""What shorter contexts would have cost: ways to carry less, each replayed over the same calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from ingest.store.database import Store
from replay.context.lanes import EXPIRED, Turns
from replay.engine.run import StrategyResult, run
from replay.strategy.schema import Strategy

# name of the strategy, what it does, its compressor
_SHORTER = (
    ("last 5 tool results", "keep the last 5 tool results of a request", {"tool_result_stub": {"keep": 5}}),
    ("last 2 tool results", "keep the last 2 tool results of a request", {"tool_result_stub": {"keep": 2}}),
    ("last 20 messages", "drop all but the last 20 messages", {"history_window": {"messages": 20}}),
    ("last 10 messages", "drop all but the last 10 messages", {"history_window": {"messages": 10}}),
    ("short tool schemas", "send tool definitions without blanks and examples", "tool_schema_compact"),
)  # fmt: skip


@dataclass(frozen=True)
class Lever:
    """One way to carry less, as replayed."""

    about: str
    result: StrategyResult


def levers(
    store: Store, *, since: date | None, until: date | None, done: Callable[[str], None] | None = None
) -> tuple[Lever, ...]:
    """The ways that change any call of the window, best first. Each is a strategy that could be written to a file."""
    strategies = [Strategy.model_validate({"name": name, "compress": [what]}) for name, _, what in _SHORTER]
    about = {name: text for name, text, _ in _SHORTER}
    replay = run(store, strategies, since=since, until=until, done=done)
    found = [Lever(about[one.name], one) for one in replay.strategies if any(one.savings_pico.values())]
    return tuple(sorted(found, key=lambda one: -sum(one.result.savings_pico.values())))


def count_levers() -> int:
    """How many replays `levers` makes."""
    return len(_SHORTER)


def expired(turns: Turns) -> tuple[int, int | None]:
    """(turns, pico-dollars) that were dearer because the cache's life had passed: what resuming earlier would save."""
    for cause, number, _, pico in turns.by_cause:
        if cause == EXPIRED:
            return number, pico
    return 0, 0
