"""Portkey gateway: a config with conditional routing (gateway `src/services/conditionalRouter.ts`, read 2026-11).

Conditions see `metadata.*` (what the caller sends in `x-portkey-metadata`) and `params.*` (the request's body), two
levels deep. There is no prompt length, and no NOT. `$regex` ends its object, so it is always written last; a value that
is missing reads as the text "undefined" there.

A holdback of calls is a load balancer over two nested configs, drawn for each call. A holdback of anything that lasts
must stay with it, so its calls carry `metadata.arm` = `control`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from replay.export import Exported, Known, arm_note, holdback
from replay.export.conditions import (
    All,
    Condition,
    Flag,
    InexpressibleError,
    Number,
    Some,
    Tags,
    Text,
    Token,
    condition_of,
    plain,
)
from replay.strategy.schema import Strategy

METADATA = (
    "agent", "task", "user_id", "team", "environment", "service_name", "prompt_name", "prompt_version",
    "workflow_name", "conversation_id",
)  # fmt: skip
PARAMS = {
    "model": "params.model", "max_tokens": "params.max_tokens", "temperature": "params.temperature",
    "stream": "params.stream", "reasoning_effort": "params.reasoning_effort", "service_tier": "params.service_tier",
}  # fmt: skip
KEEP = "as-requested"
TREATED = "treated"


def export(strategy: Strategy, known: Known) -> Exported:
    """The gateway config as JSON. A call that no rule takes goes through as it was requested."""
    conditions: list[dict[str, Any]] = []
    targets: dict[str, dict[str, Any]] = {}
    dropped: list[str] = []
    default = KEEP
    for number, rule in enumerate(strategy.route):
        label = rule.name or f"rule {number + 1}"
        if rule.cascade:
            dropped.append(f"{label}: a cascade needs the first answer, which the gateway does not judge")
            continue
        name = _target(targets, rule.target(), known)
        if rule.default:
            default = name
            continue
        try:
            query = _query(condition_of(rule), known)
        except InexpressibleError as error:
            dropped.append(f"{label}: {error}")
            continue
        conditions.append({"query": query, "then": name})
    rollout = holdback(strategy)
    by_caller = rollout is not None and rollout.unit != "call"
    if default == KEEP or by_caller:
        _target(targets, "logged", known)
    if by_caller:
        conditions.insert(0, {"query": {"metadata.arm": {"$eq": "control"}}, "then": KEEP})
    document: dict[str, Any] = {
        "strategy": {"mode": "conditional", "conditions": conditions, "default": default},
        "targets": list(targets.values()),
    }
    if rollout and not by_caller:
        treated = {"name": TREATED, "weight": rollout.share, **document}
        document = {
            "strategy": {"mode": "loadbalance"},
            "targets": [treated, {"name": KEEP, "weight": round(1 - rollout.share, 6)}],
        }
    notes = ["callers send agent, task and the like as x-portkey-metadata, in the spelling of the log"]
    if rollout and by_caller:
        notes.append(arm_note(rollout, "send arm: control"))
    elif rollout:
        notes.append("the gateway draws each call's arm by weight: the model that served tells it")
    if strategy.cache:
        notes += _cache(strategy, document)
    if strategy.compress or strategy.prompts:
        notes.append(
            "compression and changes of prompts are not part of a gateway config: apply them where prompts are built"
        )
    if len(conditions) == int(by_caller):
        notes.append("no rule could be expressed; only the default is routed")
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return Exported(text, document, tuple(dropped), tuple(notes))


def _target(targets: dict[str, dict[str, Any]], model: str, known: Known) -> str:
    name = KEEP if model.lower() == "logged" else model
    provider, _, bare = model.rpartition("/")
    entry: dict[str, Any] = {"name": name}
    owner = provider or known.providers.get(model)
    if owner:
        entry["provider"] = owner
    if name != KEEP:
        entry["override_params"] = {"model": bare or model}
    targets.setdefault(name, entry)
    return name


def _cache(strategy: Strategy, document: dict[str, Any]) -> list[str]:
    assert strategy.cache is not None
    notes = []
    shared = [tier for tier in strategy.cache.tiers if tier.scope == "shared"]
    tier = shared[-1] if shared else strategy.cache.tiers[-1]
    document["cache"] = {"mode": "simple"}
    if tier.ttl_ms is not None:
        document["cache"]["max_age"] = max(tier.ttl_ms // 1000, 60)
    if len(strategy.cache.tiers) > 1:
        notes.append(f"one cache tier only: '{tier.name}'; {len(strategy.cache.tiers) - 1} other is left out")
    if tier.max_entries or tier.max_bytes:
        notes.append("the gateway's cache has no capacity setting")
    return notes


def _query(condition: Condition, known: Known) -> dict[str, Any]:
    if isinstance(condition, All):
        return {"$and": [_query(part, known) for part in condition.parts]}
    if isinstance(condition, Some):
        return {"$or": [_query(part, known) for part in condition.parts]}
    if isinstance(condition, Text):
        return {_path(condition.column): _text(condition, known.values.get(condition.column))}
    if isinstance(condition, Number):
        return _number(condition)
    if isinstance(condition, Flag) and condition.column == "stream":
        return {"params.stream": {"$eq": condition.value}}
    if isinstance(condition, Tags):
        raise InexpressibleError("'tags' are a list, which conditions cannot look into")
    raise InexpressibleError(f"'{condition.column}' is not in metadata or params")


def _path(column: str) -> str:
    if column in METADATA:
        return f"metadata.{column}"
    if column in PARAMS:
        return PARAMS[column]
    raise InexpressibleError(f"'{column}' is not in metadata or params")


def _number(condition: Number) -> dict[str, Any]:
    if condition.column == "tool_count":
        # `$length` of a missing list never holds, and neither does a bound that a call without tools could meet
        if condition.operator in ("gt", "ge") and condition.value >= (condition.operator == "ge"):
            return {"params.tools": {"$length": {f"${'gt' if condition.operator == 'gt' else 'gte'}": condition.value}}}
        raise InexpressibleError("'tool_count' can only be bounded from below, above zero")
    path = _path(condition.column)
    value: float = int(condition.value) if condition.value == int(condition.value) else condition.value
    names = {"lt": "$lt", "le": "$lte", "gt": "$gt", "ge": "$gte", "eq": "$eq"}
    if condition.operator == "ne":  # a missing number fails every comparison
        return {path: {"$ne": value, "$gte": -1e300}}
    return {path: {names[condition.operator]: value}}


def _text(condition: Text, spellings: Sequence[str] | None) -> dict[str, Any]:
    """Equality where it will do, in the log's own spellings; else a regular expression.

    Without a log (`spellings` None) both cases of every letter are written out, because `$eq` minds the case.
    """
    values = [plain(pattern) for pattern in condition.patterns]
    ignore_case = condition.ignore_case
    if ignore_case and spellings is not None:
        exact = replace(condition, ignore_case=False)
        ignore_case = any(condition.holds(value) != exact.holds(value) for value in spellings)
        if all(value is not None for value in values):
            either = replace(condition, negated=False)
            values, ignore_case = [value for value in spellings if either.holds(value)] or values, False
    cased = ignore_case and any(value is None or value.lower() != value.upper() for value in values)
    if not cased and all(value is not None for value in values):
        if condition.negated:  # a missing value equals nothing, and must not pass for different
            return {"$nin": values, "$regex": "^(?!undefined$)"}
        return {"$eq": values[0]} if len(values) == 1 else {"$in": values}
    source = "|".join(_regex(pattern, ignore_case) for pattern in condition.patterns)
    if condition.negated:
        return {"$regex": f"^(?!(?:undefined|{source})$)"}
    return {"$regex": f"^(?!undefined$)(?:{source})$"}


def _regex(pattern: Sequence[Token], ignore_case: bool) -> str:
    """A JavaScript regular expression without flags: letters in both cases spelled out."""
    parts = []
    for kind, text in pattern:
        if kind == "text":
            parts.append("".join(_letter(char, ignore_case) for char in text))
        else:
            parts.append(r"[\s\S]*" if kind == "any" else r"[\s\S]")
    return "".join(parts)


def _letter(char: str, ignore_case: bool) -> str:
    lower, upper = char.lower(), char.upper()
    if ignore_case and lower != upper and len(lower) == len(upper) == 1:
        return f"[{lower}{upper}]"
    return re.escape(char) if char in r"\^$.|?*+()[]{}/-" else char


# -- the interpreter ---------------------------------------------------------------------------------------------------

_MISSING = object()


def decide(document: Any, call: Mapping[str, Any]) -> str | None:
    """The model that the gateway would override with for a treated call, or for one of `arm` control; None where the
    request goes through as it is."""
    if document["strategy"]["mode"] == "loadbalance":
        if call.get("arm") == "control":
            return None
        document = next(target for target in document["targets"] if target["name"] == TREATED)
    context = {
        "metadata": {name: call[name] for name in (*METADATA, "arm") if call.get(name) is not None},
        "params": {
            **{path.partition(".")[2]: call[name] for name, path in PARAMS.items() if call.get(name) is not None},
            **({"tools": [None] * int(call["tool_count"])} if call.get("tool_count") else {}),
        },
    }
    strategy = document["strategy"]
    name = next(
        (entry["then"] for entry in strategy["conditions"] if _holds(entry["query"], context)), strategy["default"]
    )
    return None if name == KEEP else str(name)


def _holds(query: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    for key, wanted in query.items():
        if key == "$or":
            return any(_holds(part, context) for part in wanted)
        if key == "$and":
            return all(_holds(part, context) for part in wanted)
        space, _, field = key.partition(".")
        value = context.get(space, {}).get(field, _MISSING)
        if isinstance(wanted, Mapping):
            if not _operators(wanted, value):
                return False
        elif not _same(value, wanted):
            return False
    return True


def _operators(wanted: Mapping[str, Any], value: Any) -> bool:
    for operator, operand in wanted.items():
        if operator == "$regex":
            return re.search(operand, "undefined" if value is _MISSING else str(value)) is not None
        if operator == "$length":
            if not isinstance(value, list) or not _operators(operand, len(value)):
                return False
            continue
        if not _compares(operator, value, operand):
            return False
    return True


def _compares(operator: str, value: Any, operand: Any) -> bool:
    if operator in ("$in", "$nin"):
        return any(_same(value, one) for one in operand) == (operator == "$in")
    if operator in ("$eq", "$ne"):
        return _same(value, operand) == (operator == "$eq")
    left, right = _float(value), _float(operand)
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[operator]


def _same(value: Any, wanted: Any) -> bool:
    """JavaScript's `===`: numbers are one type, a boolean is none of them."""
    if isinstance(value, bool) != isinstance(wanted, bool):
        return False
    if isinstance(value, (int, float)) and isinstance(wanted, (int, float)):
        return value == wanted
    return type(value) is type(wanted) and bool(value == wanted)


def _float(value: Any) -> float:
    """JavaScript's `parseFloat`, as far as it matters here."""
    try:
        return math.nan if isinstance(value, (bool, list)) else float(value)
    except (TypeError, ValueError):
        return math.nan
