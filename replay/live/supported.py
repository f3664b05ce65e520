"""Which parts of a strategy can be carried out on a live call; the rest is refused by line when the file is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ingest.errors import StrategyError
from replay.live import compression
from replay.stages.rule_evaluation import columns_of
from replay.strategy import yaml_source
from replay.strategy.fields import Selection
from replay.strategy.schema import Strategy

# what is known only of a whole log
_NEVER: Final = {
    "template": "templates are found in a whole log",
    "turn": "it is counted in a whole log",
    "online": "it is worked out from a whole log",
}
# and what is known only of a call that has been answered
_NOT_YET: Final = {
    "output_tokens": "the answer is not there yet",
    "status": "the answer is not there yet",
    "finish_reason": "the answer is not there yet",
    "input_tokens": "the provider counts them later; use input_words",
    **_NEVER,
}
POLICIES: Final = ("lru", "fifo")
_Part = tuple[yaml_source.Path, str]


def check(strategy: Strategy, text: str | None = None, where: str = "") -> None:
    """Raise StrategyError that names all parts which cannot be applied to a live call.

    `text` is that of the file `where`, whose lines are told.
    """
    found = list(_refused(strategy))
    if not found:
        return
    lines = {} if text is None else yaml_source.parse(text, where)[1]
    told = [f"{_line(path, lines)}{why}" for path, why in found]
    raise StrategyError(
        f"'{strategy.name}' cannot be applied to live calls: {'; '.join(told)}",
        where=where or None,
        remedy="Leave these parts out of the file that is applied. They can be replayed.",
    )


def _line(path: yaml_source.Path, lines: Mapping[yaml_source.Path, int]) -> str:
    while path and path not in lines:
        path = path[:-1]
    return f"line {lines[path]}: " if path else ""


def _refused(strategy: Strategy) -> Iterator[_Part]:
    if strategy.prompts:
        yield ("prompts",), "prompts: change them in the program"
    for number, part in enumerate(strategy.compress):
        if why := compression.refusal(part):
            yield ("compress", number), f"compress {part.name}: {why}"
        yield from _unknown(part, ("compress", number), _NOT_YET)
    yield from _refused_routes(strategy)
    for number, mark in enumerate(strategy.batch):
        yield from _unknown(mark, ("batch", number), _NOT_YET)
    if strategy.provider_cache.mode != "auto":
        yield ("provider_cache",), "provider_cache: the request asks for it, or does not"
    yield from _refused_cache(strategy)


def _refused_routes(strategy: Strategy) -> Iterator[_Part]:
    for number, rule in enumerate(strategy.route):
        yield from _unknown(rule, ("route", number), _NOT_YET)
        if rule.escalate is None:
            continue
        if rule.escalate.score_below is not None:
            yield (
                ("route", number, "escalate", "score_below"),
                f"route[{number}].escalate.score_below: the score comes later; use when or share",
            )
        if rule.escalate.when is not None:
            path: yaml_source.Path = ("route", number, "escalate", "when")
            yield from _unknown(Selection(when=rule.escalate.when), path, _NEVER)
    told = strategy.classifier
    if told is None:
        return
    if told.asks is None or not told.labels:
        yield ("classifier",), "classifier: say what it asks (asks) and its answers (labels), which become the task"
    if told.placed == "after_cache":
        yield (
            ("classifier", "placed"),
            "classifier.placed after_cache: the cache's key holds the model that it chooses",
        )


def _refused_cache(strategy: Strategy) -> Iterator[_Part]:
    if strategy.cache is None:
        return
    for number, part in enumerate(strategy.cache.skip):
        yield from _unknown(part, ("cache", "skip", number), _NOT_YET)
    if strategy.cache.invalidate:
        yield ("cache", "invalidate"), "cache.invalidate: call forget() of the applied strategy instead"
    for number, tier in enumerate(strategy.cache.tiers):
        path = ("cache", "tiers", number)
        if tier.scope == "process" and tier.max_bytes is not None:
            yield path, f"cache tier {tier.name}: a process's own memory is limited by max_entries"
        if tier.scope == "process" and tier.policy not in POLICIES:
            held = ", ".join(POLICIES)
            yield path, f"cache tier {tier.name}: policy {tier.policy} (a process's own memory has {held})"


def _unknown(part: Selection, path: yaml_source.Path, unknown: Mapping[str, str]) -> Iterator[_Part]:
    for column in columns_of([part]):
        if column in unknown:
            yield path, f"a rule looks at {column}: {unknown[column]}"
