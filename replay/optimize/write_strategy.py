"""Writes a choice of models for groups of calls as the strategy file that a person would have written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import yaml

from replay.strategy.cache_schema import Cache
from replay.strategy.quality_schema import Quality
from replay.strategy.schema import Compressor, Rule, Strategy

KEEP: Final = "logged"


class Group(NamedTuple):
    """The calls of one agent and task, and of one prompt template where `by_template`; or all that are told apart no
    further."""

    agent: str | None
    task: str | None
    template: str | None = None
    by_template: bool = False
    others: bool = False

    @property
    def label(self) -> str:
        """The group in words; `-` stands for no value."""
        if self.others:
            return "(all smaller agents and tasks)"
        names = [self.agent, self.task, *([self.template] if self.by_template else [])]
        return " / ".join("-" if name is None else name for name in names)


def policy_of(
    name: str,
    groups: Sequence[Group],
    models: Sequence[str],
    *,
    cache: Cache | None,
    compress: Sequence[Compressor],
    judged: Quality,
    base: Strategy | None = None,
) -> Strategy:
    """One rule per agent and model, naming its tasks; a task that nobody has seen stays where it is logged.

    Groups by template have one rule per agent, task and model, naming its templates.
    """
    chosen: dict[tuple[str | None, str], list[str | None]] = {}
    prompts: dict[tuple[str | None, str | None, str], list[str | None]] = {}
    for group, model in zip(groups, models, strict=True):
        if model != KEEP and group.by_template:
            prompts.setdefault((group.agent, group.task, model), []).append(group.template)
        elif model != KEEP:
            chosen.setdefault((group.agent, model), []).append(group.task)
    route = [_rule({"agent": [agent], "task": tasks}, model) for (agent, model), tasks in chosen.items()]
    for (agent, task, model), found in prompts.items():
        route.append(_rule({"agent": [agent], "task": [task], "template": found}, model))
    keep: dict[str, Any] = {}
    if base is not None:  # what the optimizer does not choose stays as the base file has it
        keep = {
            "provider_cache": base.provider_cache,
            "behaviour": base.behaviour,
            "output_ratio": base.output_ratio,
            "batch": base.batch,
            "rework": base.rework,
            "latency": base.latency,
            "rollout": base.rollout,
        }
    return Strategy.model_validate(
        {
            "name": name,
            "route": route,
            "cache": cache,
            "compress": tuple(compress),
            "quality": judged,
            **keep,
        }
    )


def _rule(wanted: dict[str, list[str | None]], model: str) -> Rule:
    """A rule for calls whose columns have one of the values each."""
    values = [value for names in wanted.values() for value in names]
    if any(value is not None and ("*" in value or "?" in value) for value in values):
        # a name that would read as a glob is compared in SQL, where it is only text
        return Rule(when=" AND ".join(_equals(column, names) for column, names in wanted.items()), model=model)
    match: dict[str, Any] = {column: names if len(names) > 1 else names[0] for column, names in wanted.items()}
    return Rule(match=match, model=model)


def _equals(column: str, values: Sequence[str | None]) -> str:
    texts = ["'" + value.replace("'", "''") + "'" for value in values if value is not None]
    parts = [f"{column} IN ({', '.join(texts)})"] if texts else []
    if None in values:
        parts.append(f"{column} IS NULL")
    return f"({' OR '.join(parts)})"


def written(strategy: Strategy, heading: Sequence[str] = ()) -> str:
    """The YAML text of a strategy, with comment lines on top."""
    document = {**strategy.document(), "quality": strategy.quality.model_dump(mode="json", exclude_defaults=True)}
    document["quality"] = {"floor": strategy.quality.floor, **document["quality"]}
    # PyYAML folds unusual line breaks (U+0085, U+2028) when it writes them as they are
    plain = strategy.canonical_json().isprintable()
    body = yaml.safe_dump(_short(document), sort_keys=False, allow_unicode=plain, width=110, default_flow_style=None)
    return "".join(f"# {line}\n" for line in heading) + body


def _short(document: dict[str, Any]) -> dict[str, Any]:
    """The short forms that a person writes."""
    parts = document.get("compress")
    if parts:
        document["compress"] = [
            part["name"]
            if list(part) == ["name"]
            else {part["name"]: {**part.get("parameters", {}), **_selection(part)}}
            for part in parts
        ]
    order = ("name", "description", "compress", "route", "cache", "provider_cache", "batch", "quality")
    return {key: document[key] for key in (*order, *document) if key in document}


def _selection(part: dict[str, Any]) -> dict[str, Any]:
    return {key: part[key] for key in ("match", "when") if key in part}
