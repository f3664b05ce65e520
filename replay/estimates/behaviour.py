"""Another model makes another conversation: how many calls it needs, how its prompts grow, how long its answers are.

For each agent and task, the calls of two models per unit of demand (conversation, trace or request) are compared, in
logs of ratios: calls per unit, input tokens per call beyond what the tokenizer explains, output tokens per call. Each
is pooled partially: a task's effect lies about the two models' effect on all tasks, which lies about what is known of
models and vendors (`behaviour_priors.yaml`); both are normal with known spreads, so the posterior is closed (Gelman et
al., Bayesian Data Analysis, 3rd ed., 5.4). A model that the log never saw keeps the wide spread of models. The spread
of the dollars of a moved group is that of its posterior, of the choice of tasks, and of the luck of so many units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from analysis.pricing.model_info import counts_alike
from replay.estimates.answer_length_ratios import Z90
from replay.estimates.input_token_ratios import InputRatios, has_tools
from replay.estimates.measured_units import Measured, chosen, not_alike
from replay.traffic.traffic import Bool, Int32, Int64, Traffic

Floats = NDArray[np.float64]
Pair = tuple[str | None, str | None]  # provider, model

FILE: Final = Path(__file__).with_name("behaviour_priors.yaml")


class VendorPair(BaseModel):
    """What is known of two vendors: the log of the second's count over the first's, and its spread."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    between: tuple[str, str]
    log_ratio: float
    spread: float


class Priors(BaseModel):
    """Spreads between models, in logs of ratios; see the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    calls: float
    growth: float
    output: float
    between_tasks: float
    unknown_tools: float
    unknown_plain: float
    vendors: Mapping[str, tuple[str, ...]]
    tools: tuple[VendorPair, ...]
    scale_unseen: float
    scale_seen: float

    def vendor(self, model: str | None) -> str | None:
        """The vendor whose patterns the name fits."""
        name = (model or "").lower()
        return next((who for who, globs in self.vendors.items() if any(fnmatchcase(name, g) for g in globs)), None)

    def counting(self, source: str | None, target: str | None, tools: bool) -> tuple[float, float]:
        """(log ratio, spread) of input tokens where nothing is learned of how the two count."""
        pair = self.vendor(source), self.vendor(target)
        if tools and None not in pair:
            for row in self.tools:
                if pair == row.between:
                    return row.log_ratio, row.spread
                if pair == row.between[::-1]:
                    return -row.log_ratio, row.spread
        return 0.0, self.unknown_tools if tools else self.unknown_plain


@cache
def priors() -> Priors:
    """The shipped priors."""
    import yaml

    return Priors.model_validate(yaml.safe_load(FILE.read_text("utf-8")))


@dataclass(frozen=True)
class Move:
    """What is expected of calls that move: ratios to the logged, and the log spread of each."""

    source: int
    target: int
    cell: int  # agent x task
    tools: bool
    moved_units: int
    calls: float
    growth: float  # input tokens per call, beyond what the tokens' count says
    output: float
    calls_spread: float
    growth_spread: float
    output_spread: float
    luck: float  # log spread of the sum over the moved units, whatever the means
    seen_units: int  # of the target on this agent and task; 0: the spread of models
    unlike: str | None = None  # why the target's units there are no sample of such units, and are not used
    chosen: bool = False  # somebody chose the target's units there one by one, nobody says how
    code: int = 0  # a number for source, target, cell and use of tools

    @property
    def seen(self) -> bool:
        """Whether any unit of the pair was observed."""
        return self.seen_units > 0


def posterior(
    data: Sequence[tuple[bool, float, float]], mean: float, spread: float, between: float
) -> tuple[float, float]:
    """(mean, standard deviation) of one cell's effect: normal about the pair's effect with `between`, which is normal
    about `mean` with `spread`. `data` are (whether it is the cell asked for, log ratio, variance) by cell."""
    if spread <= 0:
        return mean, 0.0
    tau = between**2
    precision = 1 / spread**2 + sum(1 / (tau + v) for _, _, v in data)
    pooled = (mean / spread**2 + sum(x / (tau + v) for _, x, v in data)) / precision
    own = [(x, v) for mine, x, v in data if mine]
    if not own or tau == 0:
        return pooled, math.sqrt(1 / precision + tau)
    # the pair's effect from the other cells, then this cell's own data
    others = [(x, v) for mine, x, v in data if not mine]
    rest = 1 / spread**2 + sum(1 / (tau + v) for _, v in others)
    centre = (mean / spread**2 + sum(x / (tau + v) for x, v in others)) / rest
    prior = 1 / rest + tau
    x, v = own[0]
    weight = prior / (prior + v) if math.isfinite(v) else 0.0
    return centre + weight * (x - centre), math.sqrt(prior * (1 - weight))


@dataclass
class Behaviour:
    """The expected behaviour of moved calls over one traffic, group by group."""

    traffic: Traffic
    models: tuple[Pair, ...]
    units: Callable[[], Int64]  # the name of each call's unit
    measured: Callable[[], Mapping[tuple[int, int], Measured]]
    ratios: Callable[[], InputRatios]
    known: Priors = field(default_factory=priors)
    told: Mapping[int, Move] | None = None  # what the whole log tells, by code, where the traffic is a part of it

    def groups(self, served: Int32, chosen: Bool) -> tuple[Int64, Int64, list[Move]]:
        """(rows of the moved calls, the place of each in the list, the moves)."""
        traffic = self.traffic
        rows = np.flatnonzero((served != traffic.model) & chosen)
        if not len(rows):
            return rows, rows, []
        width = len(self.models)
        cells = len(traffic.agents) * len(traffic.tasks)
        tools = has_tools(traffic)[rows].astype(np.int64)
        cell = traffic.agent[rows].astype(np.int64) * len(traffic.tasks) + traffic.task[rows]
        code = ((traffic.model[rows].astype(np.int64) * width + served[rows]) * cells + cell) * 2 + tools
        names, inverse = np.unique(code, return_inverse=True)
        if self.told is not None:
            return rows, inverse.astype(np.int64), [self.told[name] for name in names.tolist()]
        using = self.using_tools()
        _, unit = np.unique(self.units()[rows], return_inverse=True)
        whole = np.unique(inverse.astype(np.int64) * (int(unit.max()) + 1) + unit)
        counts = np.bincount(whole // (int(unit.max()) + 1), minlength=len(names)).tolist()
        moves: list[Move] = []
        for number, name in enumerate(names.tolist()):
            rest, with_tools = divmod(name, 2)
            models, place = divmod(rest, cells)
            source, target = divmod(models, width)
            shown = bool(with_tools)
            move = self.move(source, target, place, shown, counts[number], shown or place in using)
            moves.append(replace(move, code=name))
        return rows, inverse.astype(np.int64), moves

    def using_tools(self) -> set[int]:
        """The cells in which answers ask for tools: not every log shows what tools a request carried."""
        traffic = self.traffic
        asks = traffic.rule_frame(["pending_tool_calls"])["pending_tool_calls"].cast(pl.Boolean).fill_null(False)
        rows = np.flatnonzero(asks.to_numpy())
        cells = traffic.agent[rows].astype(np.int64) * len(traffic.tasks) + traffic.task[rows]
        return set(np.unique(cells).tolist())

    def move(self, source: int, target: int, cell: int, tools: bool, units: int, using: bool) -> Move:
        """The expectation for calls of `source` on a cell that go to `target`.

        `tools`: the log shows the tools of the requests; `using`: it shows that there were some.
        """
        measured, known = self.measured(), self.known
        own = measured.get((cell, source))
        many = 1 - 1 / own.calls if own is not None else 0.0
        told = self.ratios().between(source, target, tools)
        names = self.models[source][1], self.models[target][1]
        shift, counting = known.counting(*names, using) if told.kind == "assumed" else (0.0, 0.0)
        if told.kind == "learned" and told.low > 0:  # prompts of a task are alike, so less than single calls differ
            counting = known.between_tasks * math.log(told.high / told.low) / (2 * Z90)
        one_count = counts_alike(self.models[source], self.models[target])
        pairs, unlike = [], None
        for at in sorted({at for at, model in measured if model == source and (at, target) in measured}):
            a, b = measured[at, source], measured[at, target]
            why = not_alike(a, b, one_count)
            if why is None:
                pairs.append((at == cell, a, b))
            elif at == cell:
                unlike = why
        part = known.between_tasks
        by_choice = any(mine and chosen(a, b) for mine, a, b in pairs)
        wide = known.scale_unseen / known.scale_seen

        def estimated(
            of: Callable[[Measured], tuple[float, float, float]], mean: float, spread: float, own: float, many: float
        ) -> tuple[float, float]:
            # which questions a model was given is a choice, so its units differ from others' as tasks do
            found = []
            for mine, a, b in pairs:
                if min(of(a)[0], of(b)[0]) > 0:
                    errors = of(a)[1] + of(b)[1] + (0.0 if a.by_chance and b.by_chance else own**2)
                    ranges = math.hypot(of(a)[2], of(b)[2]) / math.sqrt(2)
                    found.append((mine, math.log(of(b)[0] / of(a)[0]), errors, ranges))
            if not by_choice or spread <= 0:
                return posterior([(mine, x, v) for mine, x, v, _ in found], mean, spread, own)
            # made for its units, the choice may be all that is seen, and may hide as much again as units differ by
            away = [(x - mean, ranges) for mine, x, _, ranges in found if mine]
            seen = many * math.hypot(*away[0]) if away else 0.0
            return mean, max(math.hypot(spread, own, seen), wide * math.hypot(spread, own))

        asks, grows = many * known.calls, many * known.growth
        calls = estimated(lambda one: (one.calls, one.calls_error, one.calls_range), 0.0, asks, part * asks, many)
        growth = estimated(
            lambda one: (one.input, one.input_error, one.input_range),
            shift + math.log(told.mid),
            math.hypot(grows, counting),
            part * grows,
            many,
        )
        output = estimated(
            lambda one: (one.output, one.output_error, one.output_range), 0.0, known.output, part * known.output, 1.0
        )
        luck = math.sqrt((own.size if own is not None else 0.0) * many / max(units, 1))
        seen = measured.get((cell, target)) if pairs and unlike is None else None
        return Move(
            source, target, cell, tools, units, math.exp(calls[0]), math.exp(growth[0]) / told.mid, math.exp(output[0]),
            calls[1], growth[1], output[1], luck, seen.units if seen is not None else 0,
            unlike, by_choice,
        )  # fmt: skip

    def scale(self, move: Move) -> float:
        """Standard deviations of the 80 % range."""
        return self.known.scale_seen if move.seen else self.known.scale_unseen


def spread_of(move: Move, input_share: float, declared_output: bool, declared_calls: bool) -> float:
    """Log spread of the dollars of a group whose input costs `input_share` of it. What the file declares has none."""
    parts = (
        0.0 if declared_calls else move.calls_spread,
        input_share * move.growth_spread,
        0.0 if declared_output else (1 - input_share) * move.output_spread,
        move.luck,
    )
    return math.sqrt(sum(part**2 for part in parts))
