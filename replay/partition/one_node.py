"""What of a strategy needs all calls at one place: the parts of a log, each by itself, would give another result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from analysis.formatting import count
from ingest.errors import StrategyError
from replay.engine.engine import Engine
from replay.partition.bucket_store import heads_by_request
from replay.response_cache.capacity import Held
from replay.stages import rule_evaluation
from replay.strategy.schema import REWRITING
from replay.traffic.prompts import Encodings

REMEDY: Final = "Replay it on one machine; from a lake: hindcast store pull --since DAY -o FILE, then --store FILE."
_ACROSS: Final = {"turn": "counts a conversation's calls", "online": "is inferred from whole conversations"}


class OneNodeError(StrategyError):
    """A strategy that cannot be replayed by parts of a log."""


def check(engine: Engine) -> None:
    """Raise OneNodeError if the strategy's result over this traffic is not that of its parts, added up."""
    for reason in reasons(engine):
        raise OneNodeError(f"{engine.strategy.name} cannot be replayed by parts of the log: {reason}", remedy=REMEDY)


def check_room(engine: Engine, held: Iterable[Held], *, every_miss: bool = False) -> None:
    """Raise OneNodeError if a limit of a cache, left out in the parts, may bind in the whole; with `every_miss` also if
    it may push out an answer that is dead."""
    for one in held:
        if not (one.fits_all if every_miss else one.fits):
            keys = int(one.live_keys.max()) if len(one.live_keys) else one.keys
            what = "within one life" if len(one.live_keys) else "in all"
            raise OneNodeError(
                f"{engine.strategy.name} cannot be replayed by parts of the log: tier {one.tier.name} may be full"
                f" ({count(keys, 'request')} {what}), so its hits depend on the order of all calls",
                remedy=REMEDY,
            )


def check_heads(engine: Engine, heads: Encodings) -> None:
    """Raise OneNodeError where the calls that share an answer do not all lie with those that share a prompt cache."""
    if engine.strategy.cache is not None and not heads_by_request(engine.traffic.store, heads):
        raise OneNodeError(
            f"{engine.strategy.name} cannot be replayed by parts of the log: some requests are equal for its cache"
            " and begin differently for the provider's",
            remedy=REMEDY,
        )


def reasons(engine: Engine) -> Iterator[str]:
    """Why the strategy needs all calls at one place."""
    traffic = engine.traffic
    if traffic.store.restriction:
        yield f"only calls with {traffic.store.restriction} are chosen"
    if engine.everything & REWRITING:
        yield "rewritten requests may be equal where the logged ones are not"
    yield from _rules(engine)
    yield from _cache(engine)
    with traffic.store.read() as con:
        found = con.execute("SELECT count(*) FROM sources WHERE format LIKE 'litellm%'").fetchall()
    if found[0][0]:
        yield "retries in LiteLLM's logs are told by the calls of a trace before them"


def _rules(engine: Engine) -> Iterator[str]:
    strategy = engine.strategy
    skipped = strategy.cache.skip if strategy.cache else ()
    columns = rule_evaluation.columns_of([*strategy.route, *strategy.batch, *skipped])
    yield from (f"`{name}` {why}" for name, why in _ACROSS.items() if name in columns)
    if strategy.route_by == "conversation":
        yield "`route_by: conversation` routes a conversation's calls together"
    for rule in strategy.route:
        if rule.escalate is not None and rule.escalate.score_below is not None:
            yield "`escalate: score_below` goes by the share of all scored calls"


def _cache(engine: Engine) -> Iterator[str]:
    cache, traffic = engine.strategy.cache, engine.traffic
    if cache is None:
        return
    if "mask" in cache.key:
        yield "`key: canonical+mask` merges requests of different parts"
    if cache.restarts or cache.invalidate:
        yield "`restarts` and `invalidate` go by the times of all calls"
    if cache.assign == "round_robin" and cache.processes > 1 and bool((traffic.process < 0).any()):
        yield "`assign: round_robin` deals out all calls in turn (`sticky` would do)"
