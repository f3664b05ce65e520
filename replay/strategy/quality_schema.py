"""The `quality:` part of a strategy file: the floor, and the tables of evidence that it may rest on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from replay.strategy import public_benchmarks
from replay.strategy.fields import Name, Part, Share, TableRow


class QualityRow(TableRow):
    """What a person vouches for: the mean score of a model on a task, and on how many calls it was seen.

    `evidence: prior` marks what was measured on somebody else's tasks: it passes no floor unless `accept_priors` is on.
    """

    quality: Share
    n: Annotated[int, Field(ge=1)] | None = None
    evidence: Literal["table", "prior"] = "table"
    source: Name | None = None


def _benchmark(name: str) -> str:
    try:
        return public_benchmarks.check(name)
    except ValueError as error:
        raise PydanticCustomError("benchmark", "{why}", {"why": str(error)}) from error


class PriorUse(Part):
    """A packaged public benchmark, and the tasks of the log that it is to stand for (a glob)."""

    benchmark: Annotated[str, AfterValidator(_benchmark)]
    task: Name


class Quality(Part):
    """The gate: pass only if the one-sided lower bound of mean(strategy - floor x logged) is not below 0."""

    floor: Annotated[float, Field(ge=0, le=2)] = 0.95
    relative_to: Literal["logged"] = "logged"
    per_task: dict[str, Annotated[float, Field(ge=0, le=2)]] = Field(default_factory=dict)
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.90
    table: tuple[QualityRow, ...] = ()
    priors: tuple[PriorUse, ...] = ()
    accept_priors: bool = False  # let public benchmarks count; without it they are only shown
    harmless: tuple[Name, ...] = ()  # lossy compressors that a person declares quality-neutral
