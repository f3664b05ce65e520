"""The `latency:` part of a strategy file: how much slower than logged it may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from replay.strategy.fields import Part

Times = Annotated[float, Field(gt=0, le=100)]


class Latency(Part):
    """The most that a quantile of latency may be, in times of the logged one: of calls, or of critical paths."""

    p50: Times | None = None
    p95: Times | None = None
    per: Literal["call", "path"] = "call"

    @model_validator(mode="after")
    def _asks_for_something(self) -> Latency:
        if self.p50 is None and self.p95 is None:
            raise PydanticCustomError("latency", "latency names p50 or p95, in times of the logged one", {})
        return self
