"""The book of prompt cache rules: which provider cached which model's prompts, how, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

RULES_FILE = Path(__file__).with_name("prompt_cache_rules.yaml")


class PromptCacheRule(BaseModel):
    """How one provider caches the prompts of some models, between two days. Tokens, milliseconds.

    `breakpoints` None: every prefix is remembered (implicit). Otherwise only prefixes up to the breakpoints of a
    request: the end of its 'prompt', and of its 'head' (tools and system).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    provider: str
    models: tuple[str, ...]
    since: date
    until: date | None = None  # the first day on which it no longer holds
    minimum: int = Field(ge=0)
    increment: int = Field(default=1, ge=1)
    ttl_ms: int = Field(gt=0)
    max_age_ms: int | None = Field(default=None, gt=0)
    requests_per_minute: int | None = Field(default=None, gt=0)
    breakpoints: tuple[str, ...] | None = None
    lookback: int = 20
    opt_in: bool = False
    """The caller must ask for it: without a sign of it in the log, it was off."""
    writes_billed: bool = False
    answers: bool = False
    """A prompt is remembered with its answer, which the next prompt of a conversation begins with."""
    source: str

    @model_validator(mode="after")
    def _breakpoints_stand_alone(self) -> PromptCacheRule:
        if self.breakpoints is not None and (self.max_age_ms or self.requests_per_minute or self.answers):
            raise ValueError("a rule with breakpoints has none of max_age_ms, requests_per_minute and answers")
        return self

    def holds(self, provider: str, model: str, day: date) -> bool:
        """Whether the rule applies to a provider's model on a day."""
        return (
            provider == self.provider
            and self.since <= day
            and (self.until is None or day < self.until)
            and any(fnmatchcase(model, pattern) for pattern in self.models)
        )


@cache
def rules() -> tuple[PromptCacheRule, ...]:
    """All rules, in the order of the file: the first that holds is meant."""
    import yaml

    return tuple(PromptCacheRule(**row) for row in yaml.safe_load(RULES_FILE.read_text("utf-8"))["rules"])


@cache
def rule_for(provider: str | None, model: str | None, day: date) -> PromptCacheRule | None:
    """The rule for a model on a UTC day, or None: not cached by the provider, or not known to be."""
    if not model:
        return None
    name = model.lower().split("/")[-1]
    maker = maker_of(provider, model.lower())
    return next((rule for rule in rules() if rule.holds(maker, name, day)), None)


def maker_of(provider: str | None, model: str) -> str:
    """Whose prompt cache a model's calls meet: `azure.ai.openai` is azure; else the model's prefix or name tells it.

    `model` in lower case.
    """
    text = (provider or (model.split("/")[0] if "/" in model else "")).lower()
    for part, maker in (
        ("azure", "azure"),
        ("bedrock", "bedrock"),
        ("vertex", "google"),
        ("gcp", "google"),
        ("gemini", "google"),
        ("google", "google"),
        ("anthropic", "anthropic"),
        ("deepseek", "deepseek"),
        ("openai", "openai"),
    ):
        if part in text:
            return maker
    if not text:
        for start, maker in (("claude", "anthropic"), ("gemini", "google"), ("deepseek", "deepseek")):
            if model.startswith(start):
                return maker
        return "openai" if model.startswith(("gpt", "o1", "o3", "o4", "chatgpt")) else ""
    return text


def rules_of(
    providers: Sequence[str | None], models: Sequence[str | None], model: Int32, start_ms: Int64
) -> tuple[Int32, tuple[PromptCacheRule, ...]]:
    """Each call's position in the returned rules, -1 for none. `model` indexes `providers` and `models`."""
    everything = rules()
    number = {rule: position for position, rule in enumerate(everything)}
    out = np.full(len(model), -1, np.int32)
    day = start_ms // 86_400_000
    for index, (provider, name) in enumerate(zip(providers, models, strict=True)):
        mine = np.flatnonzero(model == index)
        if not len(mine):
            continue
        days, inverse = np.unique(day[mine], return_inverse=True)
        chosen = [rule_for(provider, name, date.fromordinal(719_163 + int(one))) for one in days]
        out[mine] = np.array([-1 if rule is None else number[rule] for rule in chosen], np.int32)[inverse]
    return out, everything
