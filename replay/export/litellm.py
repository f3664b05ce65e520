"""LiteLLM proxy: a `config.yaml` with tag-based routing (`litellm/router_strategy/tag_based_routing.py`, read 2026-11).

The proxy routes by the model asked for and by tags, not by conditions. So the caller sends one tag `agent/task`, and
every pair that the log knows is decided here, by the strategy's own rules, and written as a tag of its model. A pair
that is not known takes the deployment tagged `default`, which is the model that was asked for.

A holdback of calls is a weight of deployments (`litellm/router_strategy/simple_shuffle.py`, read 2026-11), drawn for
each call. A holdback of anything that lasts must stay with it, so its calls carry the tag `control` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import yaml

from replay.export import Exported, Known, arm_note, holdback
from replay.stages import rule_evaluation
from replay.strategy.schema import Strategy

TAG = "{agent}/{task}"
CONTROL = "control"


def tag_of(agent: str | None, task: str | None) -> str:
    """The tag that a call of this agent and task carries."""
    return TAG.format(agent=agent or "-", task=task or "-")


def export(strategy: Strategy, known: Known) -> Exported:
    """The proxy's config as YAML."""
    dropped = []
    usable = []
    for number, rule in enumerate(strategy.route):
        label = rule.name or f"rule {number + 1}"
        other = set(rule_evaluation.columns_of([rule])) - {"agent", "task"}
        if rule.cascade:
            dropped.append(f"{label}: a cascade needs the first answer, which the proxy does not judge")
        elif other:
            dropped.append(f"{label}: looks at {', '.join(sorted(other))}, and the proxy routes by tag only")
        else:
            usable.append(rule)
    routed = strategy.model_copy(update={"route": tuple(usable), "route_by": "call"})
    names = rule_evaluation.targets(routed)
    pairs = sorted(set(known.pairs), key=lambda pair: tag_of(*pair))
    frame = pl.DataFrame(pairs, schema={"agent": pl.String, "task": pl.String}, orient="row")
    decided = rule_evaluation.route(routed, frame).tolist()
    tags: dict[str, list[str]] = {}
    for pair, target in zip(pairs, decided, strict=True):
        if target >= 0:
            tags.setdefault(names[target], []).append(tag_of(*pair))
    fallback = next((rule.default for rule in usable if rule.default), None)
    entries = []
    for asked in sorted(known.values.get("model", [])) or ["*"]:
        entries.append(
            _deployment(asked, fallback if fallback and fallback.lower() != "logged" else asked, ["default"], known)
        )
        for model, mine in tags.items():
            if model != (fallback or asked):
                entries.append(_deployment(asked, model, mine, known))
        kept = [tag_of(*pair) for pair, target in zip(pairs, decided, strict=True) if target < 0]
        if fallback and fallback.lower() != "logged" and kept:
            entries.append(_deployment(asked, asked, kept, known))
    rollout = holdback(strategy)
    if rollout:
        entries = _weighted(entries, rollout.share, known) if rollout.unit == "call" else _with_control(entries, known)
    document: dict[str, Any] = {"model_list": entries, "router_settings": {"enable_tag_filtering": True}}
    notes = [f"callers send one tag {TAG} in metadata.tags; a pair that the log has not seen takes the default"]
    if rollout and rollout.unit == "call":
        notes.append("the proxy draws each call's arm by weight and does not log it: the model that served tells it")
    elif rollout:
        notes.append(arm_note(rollout, f"send the tag {CONTROL} alone"))
    if strategy.cache:
        notes += _cache(strategy, document)
    if strategy.compress or strategy.prompts:
        notes.append(
            "compression and changes of prompts are not part of a proxy config: apply them where prompts are built"
        )
    if strategy.route_by == "conversation":
        notes.append("route_by: conversation is not expressible; each call is routed by itself")
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return Exported(text, document, tuple(dropped), tuple(notes))


def _deployment(asked: str, model: str, tags: list[str], known: Known) -> dict[str, Any]:
    provider = known.providers.get(model)
    full = f"{provider}/{model}" if provider and "/" not in model else model
    return {"model_name": asked, "litellm_params": {"model": full, "tags": tags}, "model_info": {"hindcast": model}}


def _weighted(entries: list[dict[str, Any]], share: float, known: Known) -> list[dict[str, Any]]:
    """Beside each deployment of another model one of the model asked for, with the weight of the holdback."""
    found = []
    for entry in entries:
        asked = entry["model_name"]
        found.append(entry)
        if entry["model_info"]["hindcast"] != asked:
            entry["litellm_params"]["weight"] = share
            twin = _deployment(asked, asked, list(entry["litellm_params"]["tags"]), known)
            twin["litellm_params"]["weight"] = round(1 - share, 6)
            found.append(twin)
    return found


def _with_control(entries: list[dict[str, Any]], known: Known) -> list[dict[str, Any]]:
    """A deployment of each model asked for under the tag of the held back."""
    names = dict.fromkeys(entry["model_name"] for entry in entries)
    return [*entries, *(_deployment(asked, asked, [CONTROL], known) for asked in names)]


def _cache(strategy: Strategy, document: dict[str, Any]) -> list[str]:
    assert strategy.cache is not None
    shared = [tier for tier in strategy.cache.tiers if tier.scope == "shared"]
    tier = shared[-1] if shared else strategy.cache.tiers[-1]
    parameters: dict[str, Any] = {"type": "redis" if tier.scope == "shared" else "local"}
    if tier.ttl_ms is not None:
        parameters["ttl"] = tier.ttl_ms // 1000
    document["litellm_settings"] = {"cache": True, "cache_params": parameters}
    notes = []
    if tier.max_bytes or tier.max_entries:
        notes.append("set the cache's capacity in Redis itself (maxmemory)")
    if len(strategy.cache.tiers) > 1:
        notes.append("the proxy keeps a memory cache of its own beside Redis; its time to live is not set here")
    return notes


# -- the interpreter ---------------------------------------------------------------------------------------------------


def decide(document: Any, call: Mapping[str, Any]) -> str | None:
    """The model of the deployment that the proxy would pick for a treated call, or for one of `arm` control; None where
    it is the one asked for."""
    asked = call.get("model")
    held_back = call.get("arm") == CONTROL
    if held_back and any("weight" in entry["litellm_params"] for entry in document["model_list"]):
        return None
    tag = CONTROL if held_back else tag_of(call.get("agent"), call.get("task"))
    group = [entry for entry in document["model_list"] if entry["model_name"] in (asked, "*")]
    healthy = [entry for entry in group if tag in entry["litellm_params"]["tags"]]
    chosen = healthy or [entry for entry in group if "default" in entry["litellm_params"]["tags"]]
    if not chosen:
        return None
    model = chosen[0]["model_info"]["hindcast"]
    return None if model in (asked, "*") else str(model)
