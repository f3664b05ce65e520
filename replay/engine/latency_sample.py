"""The calls whose durations are looked at: all of a small log, of a larger one whole units, drawn by hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from replay.engine.engine import Engine
from replay.traffic.traffic import Int8, Int64
from replay.traffic.unit_draws import uniform

MOST: Final = 20_000  # calls that are looked at


def sampled_rows(engine: Engine) -> Int64:
    """The calls looked at, in order of their rows."""
    traffic = engine.traffic
    chosen = traffic.demand & ~traffic.failed
    if engine.calls > MOST:
        chosen &= uniform(engine.unit_names(), 1) < MOST / engine.calls
    return np.flatnonzero(chosen)


@dataclass(frozen=True)
class SampledCalls:
    """What became of the calls looked at, in order of `call_no`."""

    call_no: Int64
    codes: Int8  # replay.outcomes
    input_tokens: Int64
    output_tokens: Int64

    @classmethod
    def of(cls, engine: Engine) -> SampledCalls:
        """Those of the engine's traffic."""
        rows, outcome = sampled_rows(engine), engine.evaluate(engine.everything)
        rows = rows[np.argsort(engine.traffic.call_no[rows])]
        call_no = engine.traffic.call_no[rows]
        return cls(call_no, outcome.codes[rows], outcome.input_tokens[rows], outcome.output_tokens[rows])

    @classmethod
    def merged(cls, parts: Iterable[SampledCalls]) -> SampledCalls:
        """Those of all parts."""
        found = [[one.call_no, one.codes, one.input_tokens, one.output_tokens] for one in parts]
        columns = [np.concatenate(column) for column in zip(*found, strict=True)]
        order = np.argsort(columns[0])
        return cls(*(column[order] for column in columns))

    def at(self, call_no: Int64) -> SampledCalls:
        """Those calls, in that order."""
        place = np.searchsorted(self.call_no, call_no)
        return SampledCalls(call_no, self.codes[place], self.input_tokens[place], self.output_tokens[place])
