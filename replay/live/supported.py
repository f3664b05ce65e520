"""Which parts of a strategy can be carried out on a live call; the rest is refused when the file is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.errors import StrategyError
from replay.stages.rule_evaluation import columns_of
from replay.strategy.schema import Strategy

# what is known only of a call that has been answered, or of a whole log
_NOT_YET = {
    "output_tokens": "the answer is not there yet",
    "status": "the answer is not there yet",
    "finish_reason": "the answer is not there yet",
    "input_tokens": "the provider counts them later; use input_words",
    "template": "templates are found in a whole log",
    "turn": "it is counted in a whole log",
    "online": "it is worked out from a whole log",
}
POLICIES = ("lru", "fifo")


def check(strategy: Strategy) -> None:
    """Raise StrategyError that names all parts which cannot be applied to a live call."""
    found = list(_refused(strategy))
    if found:
        raise StrategyError(
            f"'{strategy.name}' cannot be applied to live calls: {'; '.join(found)}",
            remedy="Leave these parts out of the file that is applied. They can be replayed.",
        )


def _refused(strategy: Strategy) -> Iterator[str]:
    for number, rule in enumerate(strategy.route):
        if rule.cascade:
            yield f"route[{number}].cascade: whether it escalates is known by a score that comes later"
    for part in ("prompts", "classifier", "on_error", "compress", "batch"):
        if getattr(strategy, part):
            yield f"{part}: not carried out live"
    if strategy.provider_cache.mode != "auto":
        yield "provider_cache: the request asks for it, or does not"
    selections = [*strategy.route, *(strategy.cache.skip if strategy.cache else ())]
    for column in columns_of(selections):
        if column in _NOT_YET:
            yield f"a rule looks at {column}: {_NOT_YET[column]}"
    if strategy.cache is None:
        return
    if strategy.cache.in_flight == "coalesced":
        yield "cache.in_flight: coalesced"
    if strategy.cache.invalidate:
        yield "cache.invalidate: call forget() of the applied strategy instead"
    for tier in strategy.cache.tiers:
        if tier.scope == "process" and tier.max_bytes is not None:
            yield f"cache tier {tier.name}: a process's own memory is limited by max_entries"
        if tier.scope == "process" and tier.policy not in POLICIES:
            yield f"cache tier {tier.name}: policy {tier.policy} (a process's own memory has {', '.join(POLICIES)})"
