"""What would make an unknown verdict known: calls to score and their cost, or to give to the model at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analysis.formatting import count, money, share, usd
from analysis.money import dollars

if TYPE_CHECKING:
    from replay.quality.cells import Cell

Z: Final = 2.123  # one-sided 90 % and a power of 80 %
USUAL_MEAN: Final = 0.8  # of logged scores, where none is known
LEAST_SPREAD: Final = 0.2  # standard deviation of a paired difference of scores
LEAST_MARGIN: Final = 0.02  # for floors that leave none
LEAST_CALLS: Final = 30
DAYS: Final = 14
MOST_SHARE: Final = 0.5
NAMED: Final = 3


@dataclass(frozen=True)
class HowToKnow:
    """For one model: a shadow sample of `calls`, at `cost_pico` for the answers, or a random `share` for `days`.

    `share` and `days` are None where the log spans no time.
    """

    model: str | None
    calls: int
    cost_pico: int | None
    share: float | None
    days: int | None
    unit: str = "call"  # what a score belongs to, and so what is to be given to a model as a whole

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "shadow_calls": self.calls,
            "shadow_answers_usd": None if self.cost_pico is None else usd(dollars(self.cost_pico)),
            "holdback_share": self.share,
            "holdback_days": self.days,
        }

    @property
    def words(self) -> str:
        """The two ways, in a sentence."""
        cost = "" if self.cost_pico is None else f" ({money(dollars(self.cost_pico))} for the answers)"
        text = f"to know it, score {count(self.calls, 'call')}: hindcast shadow --model {self.model}{cost}"
        if self.share is not None and self.days is not None:
            whole = "them" if self.unit == "call" else f"the {self.unit}s, each as a whole,"
            text += (
                f"; or give {self.model} {share(self.share)} of {whole} at random for {count(self.days, 'day')},"
                " scored, with `assignment: random` in the log"
            )
        return text


def how_to_know(
    cells: Sequence[Cell], floor: float, days: int, call_cost_pico: dict[str | None, int], unit: str = "call"
) -> tuple[HowToKnow, ...]:
    """Per serving model of unknown cells, largest share first. `call_cost_pico`: what a moved call costs on average;
    `unit`: what a score belongs to.

    Sized so that a model as good as the logged one would be shown to keep the floor four times in five.
    """
    unknown = [cell for cell in cells if cell.moments is None and cell.served != cell.logged]
    by_model: dict[str | None, list[Cell]] = {}
    for cell in unknown:
        by_model.setdefault(cell.served, []).append(cell)
    found = []
    for model, mine in sorted(by_model.items(), key=lambda item: -sum(cell.share for cell in item[1])):
        part = sum(cell.share for cell in mine)
        known = [(cell.share, cell.logged_mean) for cell in mine if cell.logged_mean is not None]
        total = sum(weight for weight, _ in known)
        mean = sum(weight * value for weight, value in known) / total if total else USUAL_MEAN
        margin = max((1 - floor) * mean, LEAST_MARGIN)
        spread = max(math.sqrt(mean * (1 - mean)), LEAST_SPREAD)
        there = sum(cell.calls for cell in mine)
        wanted = max(math.ceil((Z * spread * part / margin) ** 2), LEAST_CALLS)
        calls = min(wanted, there)
        cost = call_cost_pico.get(model)
        each_day = there / days if days else 0.0
        held = min(max(wanted / (DAYS * each_day), 0.01), MOST_SHARE) if each_day else None
        found.append(
            HowToKnow(
                model,
                calls,
                None if cost is None else cost * calls,
                None if held is None else round(held, 3),
                None if held is None else math.ceil(wanted / (held * each_day)),
                unit,
            )
        )
    return tuple(found[:NAMED])
