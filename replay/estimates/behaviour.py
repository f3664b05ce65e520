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
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from replay.estimates.answer_length_ratios import Z90
from replay.estimates.input_token_ratios import InputRatios, has_tools
from replay.traffic.traffic import Bool, Int32, Int64, Traffic
from replay.traffic.unit_draws import tasks_of_users

Floats = NDArray[np.float64]
Pair = tuple[str | None, str | None]  # provider, model

FILE: Final = Path(__file__).with_name("behaviour_priors.yaml")
LEAST: Final = 5  # units of one model on an agent and task, for their means to be evidence
MOST: Final = 2_000_000  # calls; of larger logs a sample of the units, drawn by hash, is measured


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
class Measured:
    """One model on one agent and task, over units that it alone served. Means per unit or call; squared relative
    errors of the means; `size` is the squared relative spread of a unit's tokens."""

    units: int
    calls: float
    input: float
    output: float
    calls_error: float
    input_error: float
    output_error: float
    size: float


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

    @property
    def seen(self) -> bool:
        return self.seen_units > 0


def measure(
    traffic: Traffic, unit: Int64 | None = None, evidence: Bool | None = None
) -> dict[tuple[int, int], Measured]:
    """(cell, model) -> what its units show; a cell is agent x tasks + task. Units that several models share are left
    out of it, and so are retries, failures and calls without token counts. `unit` names each call's;
    `evidence` marks the calls that may be looked at."""
    usage = traffic.usage
    useful = traffic.demand & ~traffic.failed & ~traffic.gateway_hit & (usage.input > 0) & (usage.output >= 0)
    if evidence is not None:
        useful &= evidence
    unit = tasks_of_users(traffic) if unit is None else unit
    if len(traffic) > MOST:
        useful &= unit % (len(traffic) // MOST + 1) == 0
    rows = np.flatnonzero(useful)
    if not len(rows):
        return {}
    cell = traffic.agent[rows].astype(np.int64) * len(traffic.tasks) + traffic.task[rows]
    cells = int(cell.max()) + 1
    _, dense = np.unique(unit[rows], return_inverse=True)
    _, group = np.unique(dense.astype(np.int64) * cells + cell, return_inverse=True)
    size = int(group.max()) + 1
    model = np.zeros(size, np.int64)
    model[group] = traffic.model[rows]
    mixed_models = np.zeros(size, np.bool_)
    mixed_models[group[traffic.model[rows] != model[group]]] = True
    place = np.zeros(size, np.int64)
    place[group] = cell
    sums = [
        np.bincount(group, weights=part, minlength=size)
        for part in (np.ones(len(rows)), usage.input[rows].astype(np.float64), usage.output[rows].astype(np.float64))
    ]
    pure = np.flatnonzero(~mixed_models)
    key = place[pure] * len(traffic.models) + model[pure]
    order = np.argsort(key, kind="stable")
    names, first = np.unique(key[order], return_index=True)
    found = {}
    for number, members in zip(names.tolist(), np.split(pure[order], first[1:]), strict=True):
        if len(members) >= LEAST:
            found[divmod(number, len(traffic.models))] = _measured(*(part[members].astype(np.float64) for part in sums))
    return found


def _measured(calls: Floats, tokens: Floats, answers: Floats) -> Measured:
    units = len(calls)
    mean = float(calls.mean())
    whole = tokens + answers

    def ratio(part: Floats) -> tuple[float, float]:
        per_call = float(part.sum() / calls.sum())
        if per_call <= 0:
            return 0.0, math.inf
        rest = float(((part - per_call * calls) ** 2).sum()) / (units - 1)
        return per_call, rest / units / (per_call * mean) ** 2

    read, read_error = ratio(tokens)
    told, told_error = ratio(answers)
    calls_error = float(calls.var(ddof=1)) / units / mean**2
    size = float(whole.var(ddof=1)) / float(whole.mean()) ** 2
    return Measured(units, mean, read, told, calls_error, read_error, told_error, size)


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
    measured: Callable[[], dict[tuple[int, int], Measured]]
    ratios: Callable[[], InputRatios]
    known: Priors = field(default_factory=priors)

    def groups(self, served: Int32, chosen: Bool) -> tuple[Int64, Int64, list[Move]]:
        """(rows of the moved calls, the place of each in the list, the moves)."""
        traffic = self.traffic
        rows = np.flatnonzero((served != traffic.model) & chosen)
        if not len(rows):
            return rows, rows, []
        width = len(self.models)
        cells = len(traffic.agents) * len(traffic.tasks)
        tools = has_tools(traffic)[rows].astype(np.int64)
        using = self.using_tools()
        cell = traffic.agent[rows].astype(np.int64) * len(traffic.tasks) + traffic.task[rows]
        code = ((traffic.model[rows].astype(np.int64) * width + served[rows]) * cells + cell) * 2 + tools
        names, inverse = np.unique(code, return_inverse=True)
        _, unit = np.unique(self.units()[rows], return_inverse=True)
        whole = np.unique(inverse.astype(np.int64) * (int(unit.max()) + 1) + unit)
        counts = np.bincount(whole // (int(unit.max()) + 1), minlength=len(names)).tolist()
        moves = []
        for number, name in enumerate(names.tolist()):
            rest, with_tools = divmod(name, 2)
            models, place = divmod(rest, cells)
            source, target = divmod(models, width)
            moves.append(
                self.move(source, target, place, bool(with_tools), counts[number], bool(with_tools) or place in using)
            )
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
        pairs = [
            (at == cell, measured[at, source], measured[at, target])
            for at in sorted({at for at, model in measured if model == source})
            if (at, target) in measured
        ]
        part = known.between_tasks

        def estimated(
            of: Callable[[Measured], tuple[float, float]], mean: float, spread: float, own: float
        ) -> tuple[float, float]:
            # which questions a model was given is a choice, so its units differ from others' as tasks do
            found = [
                (mine, math.log(of(b)[0] / of(a)[0]), of(a)[1] + of(b)[1] + own**2)
                for mine, a, b in pairs
                if min(of(a)[0], of(b)[0]) > 0
            ]
            return posterior(found, mean, spread, own)

        asks, grows = many * known.calls, many * known.growth
        calls = estimated(lambda one: (one.calls, one.calls_error), 0.0, asks, part * asks)
        growth = estimated(
            lambda one: (one.input, one.input_error),
            shift + math.log(told.mid),
            math.hypot(grows, counting),
            part * grows,
        )
        output = estimated(lambda one: (one.output, one.output_error), 0.0, known.output, part * known.output)
        luck = math.sqrt((own.size if own is not None else 0.0) * many / max(units, 1))
        seen = measured.get((cell, target)) if pairs else None
        return Move(
            source, target, cell, tools, units, math.exp(calls[0]), math.exp(growth[0]) / told.mid, math.exp(output[0]),
            calls[1], growth[1], output[1], luck, seen.units if seen is not None else 0,
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
