"""What a strategy does, in a sentence that somebody who never read its file understands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from replay.strategy.fields import Selection, duration_text
from replay.strategy.schema import LOGGED, Rule, Strategy

MOST: Final = 4  # rules that are named one by one
_OPERATORS: Final = {"lt": "below", "le": "at most", "gt": "above", "ge": "at least", "eq": "", "ne": "not",
                     "contains": "containing", "not": "not"}  # fmt: skip
_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def policy_in_words(strategy: Strategy) -> str:
    """One sentence of what is done to each request, in the order in which it meets the stages."""
    said = [text for text in (_prompts(strategy), _shorter(strategy), _routes(strategy), _cache(strategy),
                              _batch(strategy), _provider_cache(strategy)) if text]  # fmt: skip
    if not said:
        return "Leave every call as it is."
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _prompts(strategy: Strategy) -> str:
    number = len(strategy.prompts)
    return f"use {number} new prompt{'s' * (number > 1)} in place of the old" if number else ""


def _shorter(strategy: Strategy) -> str:
    if not strategy.compress:
        return ""
    names = ", ".join(dict.fromkeys(one.name.replace("_", " ") for one in strategy.compress))
    kept = "without changing what they say" if all(one.lossless for one in strategy.compress) else "leaving some out"
    return f"shorten prompts {kept} ({names})"


def _routes(strategy: Strategy) -> str:
    rules = [rule for rule in strategy.route if not rule.default]
    default = next((rule.default for rule in strategy.route if rule.default), None)
    by_target: dict[str, list[str]] = {}
    for rule in rules[:MOST]:
        by_target.setdefault(_target(rule), []).append(_calls(rule))
    parts = [f"{_listed(calls)} to {target}" for target, calls in by_target.items()]
    if len(rules) > MOST:
        parts.append(f"{len(rules) - MOST} more kinds of calls by rules of their own")
    if default:
        parts.append(f"{'all other calls' if rules else 'all calls'} to {default}")
    said = [f"send {', and '.join(parts)}"] if parts else []
    if strategy.classifier:
        said.insert(0, f"let {strategy.classifier.model} say which kind a call is")
    if strategy.on_error:
        said.append(f"send calls that fail to {strategy.on_error}")
    return "; ".join(said)


def _target(rule: Rule) -> str:
    if rule.cascade:
        return f"{rule.cascade[0]}, and on to {', then '.join(rule.cascade[1:])} where its answer is not good enough"
    target = rule.target()
    return "the model they have today" if target.lower() == LOGGED else target


def _cache(strategy: Strategy) -> str:
    if strategy.cache is None:
        return ""
    lives = [tier.ttl_ms for tier in strategy.cache.tiers]
    longest = max((life for life in lives if life is not None), default=0)
    kept = "until there is no room for it" if None in lives else f"for up to {_for(longest)}"
    return f"answer a request that was asked before with the earlier answer, kept {kept}"


def _for(ttl: int) -> str:
    text = duration_text(ttl)
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = _UNITS[text.removeprefix(number)]
    return f"{number} {unit[:-1] if number == '1' else unit}"


def _batch(strategy: Strategy) -> str:
    if not strategy.batch:
        return ""
    calls = _listed([_calls(rule) for rule in strategy.batch[:MOST]])
    return f"send {calls} to the provider's cheaper queue for work that can wait"


def _provider_cache(strategy: Strategy) -> str:
    return {
        "on": "ask the provider to keep the beginning of every prompt",
        "off": "do without the provider's own cache of prompts",
    }.get(strategy.provider_cache.mode, "")


def _calls(part: Selection) -> str:
    """The calls of a selection: `critique and rewrite calls of refinement_agent`."""
    match: Mapping[str, Any] = part.match or {}
    if not match:
        return f"calls {_where(part.when)}" if part.when else "all calls"
    task, agent = match.get("task"), match.get("agent")
    said = f"{_value(task)} calls" if task is not None else "calls"
    if agent is not None:
        said += f" of {_value(agent)}"
    if "online" in match:
        said += " that a user waits for" if match["online"] else " that nobody waits for"
    others = [
        f"{name.replace('_', ' ')} {_value(wanted)}".strip()
        for name, wanted in match.items()
        if name not in ("task", "agent", "online")
    ]
    if others:
        said += f" with {_listed(others)}"
    return f"{said} {_where(part.when)}" if part.when else said


def _where(condition: str) -> str:
    """A condition in words where it is one of a common form, else as it stands."""
    found = re.fullmatch(r"\s*(\w+)\s+I?LIKE\s+'%([^%']+)%'\s*", condition, re.IGNORECASE)
    return f"whose {found[1].replace('_', ' ')} contains '{found[2]}'" if found else f"where {condition}"


def _value(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return _listed([f"{_OPERATORS.get(key, key)} {_value(value)}".strip() for key, value in wanted.items()])
    if isinstance(wanted, (list, tuple)):
        return _listed([_value(one) for one in wanted])
    return "without one" if wanted is None else f"{wanted}"


def _listed(parts: Iterable[str]) -> str:
    every = list(parts)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"
