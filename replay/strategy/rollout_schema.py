"""The rollout block of a strategy file: which share of which units the strategy is applied to, drawn by hash."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ingest.errors import did_you_mean
from replay.rollout.assignment import UNITS, is_unit
from replay.strategy.fields import Name, Part


def _unit(name: str) -> str:
    if not is_unit(name):
        raise PydanticCustomError(
            "unit", "'{name}' is not a unit", {"name": name, "hint": did_you_mean(name, UNITS)}
        )  # fmt: skip
    return name


class Rollout(Part):
    """The rest, 1 - share, is held back: it stays as it was, and shows what the strategy changed.

    With a `ramp`, `hindcast rollout advance` moves the share along it, or to 0 when it rolls back.
    """

    share: Annotated[float, Field(ge=0, le=1)]
    unit: Annotated[Name, AfterValidator(_unit)] = "conversation"
    seed: int = 0
    ramp: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()

    @model_validator(mode="after")
    def _steps(self) -> Rollout:
        if any(later <= earlier for earlier, later in pairwise(self.ramp)):
            raise PydanticCustomError("ramp", "the shares of ramp must rise, as in [0.01, 0.05, 0.25, 1]", {})
        if not self.share and not self.ramp:
            raise PydanticCustomError("ramp", "a share of 0 treats nobody; only a ramp that was rolled back has it", {})
        return self


def written(text: str, rollout: Rollout) -> str:
    """The text of a strategy file with this rollout block at its end; an earlier one goes, all else stays as it is."""
    kept, inside = [], False
    for line in text.splitlines():
        if re.match(r"['\"]?rollout['\"]?\s*:", line):
            inside = True
        elif inside and line[:1] not in ("", " ", "\t", "}", "#"):
            inside = False
        if not inside:
            kept.append(line)
    return "\n".join([*kept, line_of(rollout)]) + "\n"


def line_of(rollout: Rollout) -> str:
    """The block as one line of YAML."""
    unit = rollout.unit.replace("'", "''")
    ramp = f", ramp: [{', '.join(f'{share:g}' for share in rollout.ramp)}]" if rollout.ramp else ""
    return f"rollout: {{share: {rollout.share:g}, unit: '{unit}', seed: {rollout.seed}{ramp}}}"
