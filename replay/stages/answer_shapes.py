"""How long answers in a fixed shape are beside free ones: measured where the log holds both, else a stated number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis import formatting
from replay.traffic.prompts import Int64

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

LEAST_ANSWERS: Final = 30  # of either shape, for their ratio to be a measurement
SHAPED: Final = ("json_object", "json_schema")  # values of `response_format`; without one an answer is free


@dataclass(frozen=True)
class Shapes:
    """`ratio` is the output tokens of each call in a fixed shape over those logged; 1 where nothing changes.

    `measured` calls have the ratio of the answers of their agent, task and model, `stated` ones a person's number, and
    `shaped` ones were answered in a fixed shape already.
    """

    ratio: Floats
    measured: Bools
    stated: Bools
    shaped: Bools
    answers: int = 0  # that were measured, of both shapes

    def limits(self, inside: Bools) -> Iterator[str]:
        """Where the ratios of the calls of `inside` come from."""
        measured, stated, shaped = (inside & mask for mask in (self.measured, self.stated, self.shaped))
        if measured.any():
            low, high = (f"{100 * bound:.0f}" for bound in (self.ratio[measured].min(), self.ratio[measured].max()))
            share = low if low == high else f"{low}-{high}"
            yield (
                f"structured_output: answers of {_calls(measured)} are taken for {share} % as long, measured on"
                f" {self.answers:,} answers in JSON and without of the same agent, task and model; what was asked of"
                " them may differ"
            )
        if stated.any():
            share = " and ".join(f"{100 * ratio:.0f}" for ratio in np.unique(self.ratio[stated]).tolist())
            yield (
                f"structured_output: that answers of {_calls(stated)} become {share} % as long is your number, not"
                f" measured: the log does not hold {LEAST_ANSWERS} answers in JSON and {LEAST_ANSWERS} others for them"
            )
        if shaped.any():
            yield f"structured_output: {_calls(shaped)} were answered in JSON already, and stay as long"


def shapes(kind: Int64, format: NDArray[np.object_], output: Int64, chosen: Bools, stated: float) -> Shapes:
    """For the `chosen` calls: `kind` is a code of agent, task and model, `format` their `response_format`, `output`
    their logged output tokens (negative where unknown)."""
    shaped = np.isin(format.astype(str), SHAPED)
    known = output > 0
    size = int(kind.max()) + 1 if len(kind) else 0
    ratio = np.ones(len(kind))
    figures = []
    for mask in (shaped & known, ~shaped & known):
        count = np.bincount(kind[mask], minlength=size)
        figures.append((count, np.bincount(kind[mask], weights=output[mask], minlength=size) / np.maximum(count, 1)))
    (counted, with_shape), (others, free) = figures
    told = (counted >= LEAST_ANSWERS) & (others >= LEAST_ANSWERS)
    measured = chosen & ~shaped & told[kind]
    rest = chosen & ~shaped & ~measured
    ratio[measured] = (with_shape / np.maximum(free, 1e-9))[kind[measured]]
    ratio[rest] = stated
    used = np.zeros(size, bool)
    used[kind[measured]] = True
    return Shapes(ratio, measured, rest, chosen & shaped, int((counted + others)[used].sum()))


def _calls(mask: Bools) -> str:
    return formatting.count(int(mask.sum()), "call")
