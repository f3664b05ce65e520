"""vLLM semantic router: `config.yaml` v0.3 with signals and decisions (`config/config.yaml`, read 2026-11).

Metadata signals compare by equality, so patterns are written out over the values that the log has seen. Decisions are
tried by priority; a rule's AND, OR and NOT are theirs. Context bounds are inclusive, in the router's own estimate of
tokens (about four characters each), which differs a little from the logged count.

A holdback is request metadata: no decision takes a request whose `arm` is `control`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from replay.export import Exported, Known, arm_note, holdback
from replay.export.conditions import All, Condition, Flag, InexpressibleError, Number, Some, Text, condition_of
from replay.strategy.schema import Strategy

METADATA = (
    "agent", "task", "user_id", "team", "environment", "service_name", "prompt_name", "prompt_version",
    "workflow_name", "conversation_id",
)  # fmt: skip
UNBOUNDED = 1_000_000_000


class _Signals:
    """The signals that conditions need, each once."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.found: dict[str, dict[str, dict[str, Any]]] = {}

    def metadata(self, column: str, value: str) -> dict[str, str]:
        return self._add("metadata", f"{column}-{value}", {"key": column, "predicate": {"equals": value}})

    def context(self, low: int, high: int) -> dict[str, str]:
        fields: dict[str, Any] = {"min_tokens": str(low)}
        if high < UNBOUNDED:
            fields["max_tokens"] = str(high)
        return self._add("context", f"tokens-{low}-{high if high < UNBOUNDED else 'up'}", fields)

    def conversation(self, name: str, feature: dict[str, Any], predicate: dict[str, float] | None) -> dict[str, str]:
        fields: dict[str, Any] = {"feature": feature}
        if predicate:
            fields["predicate"] = predicate
        return self._add("conversation", name, fields)

    def _add(self, kind: str, label: str, fields: dict[str, Any]) -> dict[str, str]:
        known = self.found.setdefault(kind, {})
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", label) or "_"
        while name in known and {**known[name], "name": name} != {"name": name, **fields}:
            name += "_"
        known[name] = {"name": name, **fields}
        return {"type": kind, "name": name}


def export(strategy: Strategy, known: Known) -> Exported:
    """The router's config as YAML; endpoints and keys are left for the operator to fill in."""
    signals = _Signals(known)
    decisions: list[dict[str, Any]] = []
    dropped: list[str] = []
    notes = ["metadata values that the log has not seen match no pattern", "fill in providers.models[].backend_refs"]
    default = "logged"
    priority = 1000 + len(strategy.route)
    models: dict[str, None] = {}
    rollout = holdback(strategy)
    for number, rule in enumerate(strategy.route):
        label = rule.name or f"rule {number + 1}"
        priority -= 1
        if rule.cascade:
            dropped.append(f"{label}: a cascade's escalation by score has no equal (see algorithm: confidence)")
            continue
        models[rule.target()] = None
        if rule.default and (not rollout or rule.target().lower() == "logged"):
            default = rule.target()
            continue
        try:
            tree = _rules(condition_of(rule), signals) if not rule.default else None
        except InexpressibleError as error:
            dropped.append(f"{label}: {error}")
            continue
        if rollout:
            treated = {"operator": "NOT", "conditions": [signals.metadata("arm", "control")]}
            tree = treated if tree is None else {"operator": "AND", "conditions": [treated, tree]}
        assert tree is not None
        decisions.append(
            {
                "name": re.sub(r"[^A-Za-z0-9_]+", "_", label),
                "priority": priority,
                "rules": tree if "operator" in tree else {"operator": "AND", "conditions": [tree]},
                "modelRefs": [{"model": rule.target(), "use_reasoning": False}],
            }
        )
    if rollout:
        notes.append(arm_note(rollout, "send the metadata arm: control"))
    if default.lower() == "logged":
        notes.append("a request that no decision takes goes to providers.defaults.model: set it to today's model")
    if "context" in signals.found:
        notes.append("token bounds are in the router's estimate of about four characters a token")
    if strategy.cache or strategy.compress or strategy.prompts:
        notes.append(
            "caching, compression and changes of prompts are plugins of single decisions there, and are not written"
        )
    document: dict[str, Any] = {
        "version": "v0.3",
        "providers": {
            "defaults": {"model": default},
            "models": [{"name": name, "provider_model_id": name} for name in models if name.lower() != "logged"],
        },
        "routing": {
            "modelCards": [{"name": name} for name in models if name.lower() != "logged"],
            "signals": {kind: list(found.values()) for kind, found in signals.found.items()},
            "decisions": decisions,
        },
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return Exported(text, document, tuple(dropped), tuple(notes))


def _rules(condition: Condition, signals: _Signals) -> dict[str, Any]:
    if isinstance(condition, (All, Some)):
        operator = "AND" if isinstance(condition, All) else "OR"
        return {"operator": operator, "conditions": [_rules(part, signals) for part in condition.parts]}
    if isinstance(condition, Text) and condition.column in METADATA:
        fitting = [value for value in signals.known.values.get(condition.column, []) if condition.holds(value)]
        if not fitting:
            raise InexpressibleError(
                f"no value of '{condition.column}' in the log fits, and only equality is expressible"
            )
        return _one_of([signals.metadata(condition.column, value) for value in fitting])
    if isinstance(condition, Number) and condition.column == "input_tokens":
        return _tokens(condition, signals)
    if isinstance(condition, Number) and condition.column == "tool_count":
        return _tools(condition, signals)
    if isinstance(condition, Flag) and condition.column == "has_images":
        signal = signals.conversation("has_images", {"type": "exists", "source": {"type": "image_content"}}, None)
        return signal if condition.value else {"operator": "NOT", "conditions": [signal]}
    column = getattr(condition, "column", "tags")
    raise InexpressibleError(f"'{column}' is no signal of the router")


def _one_of(found: list[dict[str, str]]) -> dict[str, Any]:
    return dict(found[0]) if len(found) == 1 else {"operator": "OR", "conditions": [dict(one) for one in found]}


def _tokens(condition: Number, signals: _Signals) -> dict[str, Any]:
    """Inclusive integer bands."""
    value = condition.value
    floor = int(value // 1)
    whole = floor == value
    below, above = (floor - 1 if whole else floor), floor + 1
    if condition.operator == "eq" and whole:
        return dict(signals.context(floor, floor))
    bands = {
        "lt": (0, below),
        "le": (0, floor),
        "gt": (above, UNBOUNDED),
        "ge": (floor if whole else above, UNBOUNDED),
    }
    if condition.operator not in bands or bands[condition.operator][1] < 0:
        raise InexpressibleError("'input_tokens' compared for inequality")
    low, high = bands[condition.operator]
    return dict(signals.context(max(low, 0), high))


def _tools(condition: Number, signals: _Signals) -> dict[str, Any]:
    names = {"lt": "lt", "le": "lte", "gt": "gt", "ge": "gte"}
    if condition.operator not in names:
        raise InexpressibleError("'tool_count' compared for equality")
    predicate = {names[condition.operator]: condition.value}
    label = f"tools-{names[condition.operator]}-{condition.value:g}"
    source = {"type": "count", "source": {"type": "tool_definition"}}
    return dict(signals.conversation(label, source, predicate))


# -- the interpreter ---------------------------------------------------------------------------------------------------


def decide(document: Any, call: Mapping[str, Any]) -> str | None:
    """The model of the first decision by priority that holds; None where the default is today's model."""
    routing = document["routing"]
    fired = {
        (kind, signal["name"])
        for kind, found in routing["signals"].items()
        for signal in found
        if _fires(kind, signal, call)
    }
    for decision in sorted(routing["decisions"], key=lambda entry: -entry["priority"]):
        if _true(decision["rules"], fired):
            model = decision["modelRefs"][0]["model"]
            return None if model.lower() == "logged" else str(model)
    default = document["providers"]["defaults"]["model"]
    return None if default.lower() == "logged" else str(default)


def _fires(kind: str, signal: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    if kind == "metadata":
        return bool(call.get(signal["key"]) == signal["predicate"]["equals"])
    if kind == "context":
        tokens = call.get("input_tokens")
        return tokens is not None and int(signal["min_tokens"]) <= tokens <= int(signal.get("max_tokens", UNBOUNDED))
    if signal["feature"]["source"]["type"] == "image_content":
        return bool(call.get("has_images"))
    count = call.get("tool_count") or 0
    compare = {"lt": count.__lt__, "lte": count.__le__, "gt": count.__gt__, "gte": count.__ge__}
    return all(compare[name](value) is True for name, value in signal["predicate"].items())


def _true(rule: Mapping[str, Any], fired: set[tuple[str, str]]) -> bool:
    if "operator" not in rule:
        return (rule["type"], rule["name"]) in fired
    parts = (_true(part, fired) for part in rule["conditions"])
    if rule["operator"] == "NOT":
        return not any(parts)
    return all(parts) if rule["operator"] == "AND" else any(parts)
