"""The rollout block of a strategy file: which share of which units the strategy is applied to, drawn by hash."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field
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
    """The rest, 1 - share, is held back: it stays as it was, and shows what the strategy changed."""

    share: Annotated[float, Field(gt=0, le=1)]
    unit: Annotated[Name, AfterValidator(_unit)] = "conversation"
    seed: int = 0


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
    block = f"rollout: {{share: {rollout.share:g}, unit: '{rollout.unit}', seed: {rollout.seed}}}"
    return "\n".join([*kept, block]) + "\n"
