"""The strategy file: what should have happened to each call, as a person writes it in YAML.

Stages act in the order a request meets them: prompts, compress, route, cache tiers, the provider's prompt cache, price.
`load` reads a file, `parse` a text; both name the key, the line and the nearest right name of anything mistyped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

import sample_logs
from ingest.errors import StrategyError, did_you_mean, nearest_file
from replay import compressors as compress
from replay.strategy import yaml_source
from replay.strategy.cache_schema import Cache
from replay.strategy.editor_schema import documented
from replay.strategy.fields import Name, Part, Ratio, Selection, Share, TableRow, When
from replay.strategy.file_errors import explained
from replay.strategy.latency_schema import Latency
from replay.strategy.prompts_schema import PromptChange
from replay.strategy.quality_schema import Quality
from replay.strategy.rollout_schema import Rollout
from replay.strategy.router_config import is_router_config, lines_to_write

STAGES: Final = ("prompts", "compress", "route", "cache", "batch", "provider_cache")
REWRITING: Final = frozenset({"prompts", "compress"})  # the stages that change what is asked
DRAFT: Final = "Draft some from your log: hindcast strategy init"
LOGGED: Final = "logged"  # as a model name: leave the call where it was


class Escalate(Part):
    """When a cascade's cheap answer is not kept: by its score in the log, by a logged signal, or a share at random.

    `when` is a condition on the logged call, as `finish_reason = 'length'`: its answer stands for the cheap one's.
    """

    score_below: Share | None = None
    share: Share | None = None
    when: When | None = None

    @model_validator(mode="after")
    def _one(self) -> Escalate:
        if sum(value is not None for value in (self.score_below, self.share, self.when)) != 1:
            raise PydanticCustomError("escalate", "needs exactly one of score_below, when and share", {})
        return self


class Rule(Selection):
    """One line of `route`. The first whose selection holds decides; `default` takes all the rest."""

    name: Name | None = None
    model: Name | None = None
    default: Name | None = None
    cascade: tuple[Name, ...] = ()  # cheap first; each step that is escalated past is paid too
    escalate: Escalate | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Rule:
        given = [key for key in ("model", "default", "cascade") if getattr(self, key)]
        if len(given) != 1:
            raise PydanticCustomError("rule", "a rule names exactly one of model, default and cascade", {})
        if given == ["default"] and (self.match or self.when):
            raise PydanticCustomError("rule", "default takes every call that is left, so it has no match or when", {})
        if given != ["default"] and not (self.match or self.when):
            raise PydanticCustomError("rule", "a rule needs match or when; use default for all the rest", {})
        if self.cascade and (len(self.cascade) < 2 or self.escalate is None):
            raise PydanticCustomError("rule", "a cascade names two models or more and says when to escalate", {})
        if self.escalate and not self.cascade:
            raise PydanticCustomError("rule", "escalate belongs to a cascade", {})
        return self

    def target(self) -> str:
        """The model the call goes to first."""
        return self.model or self.default or self.cascade[0]


class Classifier(Part):
    """The model call that decides the route, paid on every demand call unless the cache comes first.

    `asks` and `labels` are for live calls: the instruction, and the answers that it may give, which become the task.
    """

    model: Name
    asks: Name | None = None
    labels: tuple[Name, ...] = ()
    input_tokens: Annotated[int, Field(ge=0)] = 200
    output_tokens: Annotated[int, Field(ge=0)] = 5
    placed: Literal["before_cache", "after_cache"] = "before_cache"


class ProviderCache(Part):
    """The provider's own prompt cache: as its dated rules have it, switched off, or asked for on every call."""

    mode: Literal["auto", "off", "on"] = "auto"
    ttl: Literal["5m", "1h"] | None = None


class Compressor(Selection):
    """One compressor with its parameters, on the selected calls."""

    name: Name
    parameters: dict[str, Any] = Field(default_factory=dict)

    @property
    def lossless(self) -> bool:
        return compress.find(self.name).lossless

    @property
    def prefix_stable(self) -> bool:
        return compress.find(self.name).prefix_stable


class BatchRule(Selection):
    """Calls that can wait, and the tier that prices them."""

    tier: Literal["batch", "flex"] = "batch"


class LengthRatio(TableRow):
    """Output tokens of the target over those logged, with the range that is believed."""

    ratio: Ratio
    low: Ratio | None = None
    high: Ratio | None = None


class Rework(TableRow):
    """A weaker answer comes back: extra calls per call of this model. Off unless written here; always listed.

    `estimated` takes the number from the log's scores and rounds, by task (replay.estimates.rework).
    """

    extra_calls: Annotated[float, Field(ge=0, le=20)] | Literal["estimated"]
    low: Annotated[float, Field(ge=0, le=20)] | None = None
    high: Annotated[float, Field(ge=0, le=20)] | None = None

    def at(self, bound: str) -> float:
        """Extra calls at one end of the range; nothing where they could not be estimated."""
        mid = 0.0 if self.extra_calls == "estimated" else float(self.extra_calls)
        return {"low": mid if self.low is None else self.low, "mid": mid}.get(
            bound, mid if self.high is None else self.high
        )


class Strategy(Part):
    """A whole policy. A stage that is left out stays as it was logged."""

    name: Name
    description: str | None = None
    owner: Name | None = None  # who decides, what, by when: for reports; a run's id leaves them out
    decision: str | None = None
    decide_by: date | None = None
    prompts: tuple[PromptChange, ...] = ()
    route: tuple[Rule, ...] = ()
    route_by: Literal["call", "conversation"] = "call"
    on_error: Name | None = None  # the model that answers where the logged call failed
    classifier: Classifier | None = None
    cache: Cache | None = None
    provider_cache: Annotated[ProviderCache, BeforeValidator(lambda value: _provider_cache(value))] = ProviderCache()
    compress: tuple[Annotated[Compressor, BeforeValidator(lambda value: _compressor(value))], ...] = ()
    batch: tuple[BatchRule, ...] = ()
    quality: Quality = Quality()
    latency: Latency | None = None
    behaviour: Literal["estimated", "fixed"] = "estimated"  # what another model makes of a conversation
    output_ratio: Annotated[tuple[LengthRatio, ...], BeforeValidator(lambda value: _ratios(value))] = ()
    rework: Annotated[tuple[Rework, ...], BeforeValidator(lambda value: _rework(value))] = ()
    rollout: Rollout | None = None  # who is treated in production; a replay shows the whole traffic treated

    @model_validator(mode="after")
    def _order(self) -> Strategy:
        for number, rule in enumerate(self.route[:-1]):
            if rule.default:
                raise PydanticCustomError(
                    "rule", "route[{number}] is the default, and the rules after it never apply", {"number": number}
                )
        return self

    def stages(self) -> tuple[str, ...]:
        """The players of the savings split: the stages that this file declares, in the fixed order."""
        declared = {
            "prompts": bool(self.prompts),
            "compress": bool(self.compress),
            "route": bool(self.route or self.classifier or self.on_error or self.rework),
            "cache": self.cache is not None,
            "batch": bool(self.batch),
            "provider_cache": self.provider_cache.mode != "auto",
        }
        return tuple(stage for stage in STAGES if declared[stage])

    @classmethod
    def load(cls, path: str | Path) -> Strategy:
        """The strategy of a YAML file. Raises StrategyError with the file, the line and a remedy."""
        return load(path)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Strategy:
        """The strategy of a mapping with the keys of a strategy file. Raises StrategyError."""
        return parse(json.dumps(document, default=str), str(document.get("name", "strategy")))

    def __repr__(self) -> str:
        return f"Strategy({self.name!r}, stages={list(self.stages())})"

    def document(self) -> dict[str, Any]:
        """The file's content as plain values without defaults: equal strategies give equal documents."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def meaning(self) -> dict[str, Any]:
        """`document` without who decides: what a replay depends on, and a run id is made of."""
        return {key: value for key, value in self.document().items() if key not in ("owner", "decision", "decide_by")}

    def canonical_json(self) -> str:
        """One text per meaning."""
        return json.dumps(self.meaning(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load(path: str | Path) -> Strategy:
    """The strategy of a YAML file. Raises StrategyError with the file, the line and a remedy."""
    samples = sample_logs.strategy_pattern()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StrategyError(
            "there is no such file",
            where=str(path),
            remedy=nearest_file(Path(path)) or f"Draft some: hindcast strategy init   (samples: {samples})",
        ) from error
    except IsADirectoryError as error:
        raise StrategyError("a folder, not a file", where=str(path), remedy=f"Name its files: {path}/*.yaml") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StrategyError(f"cannot be read as text: {error}", where=str(path)) from error
    return parse(text, str(path))


def load_all(paths: Iterable[Path]) -> list[tuple[Path, Strategy]]:
    """Each file with its strategy; of a folder all its YAML files by name. Raises StrategyError, as `load`."""
    found = [file for path in paths for file in (sorted(path.glob("*.y*ml")) if path.is_dir() else [path])]
    if not found:
        raise StrategyError("no YAML file in it", where=", ".join(map(str, paths)), remedy=DRAFT)
    return [(file, load(file)) for file in found]


def parse(text: str, where: str = "strategy") -> Strategy:
    """The strategy of a YAML text; `where` is the name that errors give to it."""
    value, lines = yaml_source.parse(text, where)
    if not isinstance(value, dict):
        raise StrategyError(
            "not a strategy: expected keys such as name and route",
            where=f"{where}:{lines.get((), 1)}",
            remedy="The shortest strategy: {name: all-small, route: [{default: gpt-4o-mini}]}",
        )
    if is_router_config(value):
        raise StrategyError(
            "a router's config, not a strategy", where=f"{where}:{lines.get((), 1)}", remedy=lines_to_write(value)
        )
    try:
        return Strategy.model_validate(value, context={"folder": Path(where).parent})
    except ValidationError as error:
        raise explained(error, lines, where, Strategy.model_fields) from error


def schema() -> dict[str, Any]:
    """The JSON schema of a strategy file, for editors: every key with what it means."""
    document = documented(Strategy.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Hindcast strategy", **document}


# -- short forms -------------------------------------------------------------------------------------------------------


def _provider_cache(value: object) -> object:
    if isinstance(value, bool):  # YAML reads a bare `off` and `on` as booleans
        return {"mode": "on" if value else "off"}
    return {"mode": value} if isinstance(value, str) else value


def _ratios(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [{"ratio": value}]
    return value


def _rework(value: object) -> object:
    """`rework: estimated`, or rows."""
    return [{"extra_calls": value}] if isinstance(value, str) else value


def _compressor(item: object) -> object:
    """`whitespace`, `{history_window: 10}` or `{history_window: {messages: 10, match: {agent: x}}}`."""
    if isinstance(item, Compressor) or (isinstance(item, dict) and "name" in item):
        return item
    name, argument = item, None
    if isinstance(item, dict):
        if len(item) != 1:
            raise PydanticCustomError("compress", "one compressor per list item", {})
        name, argument = next(iter(item.items()))
    known = compress.names()
    if not isinstance(name, str) or name not in known:
        raise PydanticCustomError(
            "unknown_key", "unknown compressor '{key}'", {"key": str(name), "hint": did_you_mean(str(name), known)}
        )
    found = compress.find(name)
    parameters, selection = {}, {}
    if isinstance(argument, dict):
        selection = {key: argument[key] for key in ("match", "when") if key in argument}
        parameters = {key: value for key, value in argument.items() if key not in selection}
    elif argument is not None:
        if found.main_parameter is None:
            raise PydanticCustomError("compress", "'{name}' takes no value", {"name": name, "key": name})
        parameters = {found.main_parameter: argument}
    try:
        found.check(parameters)
    except ValueError as error:
        raise PydanticCustomError("compress", "{why}", {"why": f"{name}: {error}", "key": name}) from error
    return {"name": name, "parameters": parameters, **selection}
