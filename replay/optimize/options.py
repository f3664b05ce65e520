"""The options of a search: what each candidate model costs each group of calls, and how good it surely is there.

Every (agent, task) is a group and every candidate model an option; option 0 leaves the calls where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis import formatting
from analysis.price_book import vocabulary
from analysis.pricing.stored_overrides import near_models
from ingest.errors import InputError
from replay.engine.engine import Engine
from replay.engine.outcome import Outcome
from replay.engine.shared_results import Shared
from replay.optimize.frontier import Frontier, frontier
from replay.optimize.grid import Knobs
from replay.optimize.write_strategy import Group
from replay.quality.cells import Cell
from replay.quality.evidence import Demand, Evidence
from replay.quality.gate import cells_of
from replay.quality.gathered import Gathered
from replay.quality.intervals import estimates
from replay.quality.scores import Priors, scored_models
from replay.strategy.quality_schema import Quality
from replay.strategy.schema import Strategy
from replay.traffic.largest_groups import largest
from replay.traffic.traffic import Traffic

Floats = NDArray[np.float64]

CELL_CONFIDENCE: Final = 0.95
MOST_GROUPS: Final = 1000  # of agent and task that a policy tells apart: more rules nobody reads


@dataclass
class Table:
    """Costs and guaranteed qualities of one grid point: groups x options."""

    knobs: Knobs
    cost: Floats
    quality: Floats
    front: Frontier


class Options:
    """What each option costs each group and is worth to it, by the replay and the scores of the log."""

    def __init__(
        self,
        traffic: Traffic,
        floor: float,
        per_task: Mapping[str, float],
        latency_p95_ms: float | None,
        priors: Priors,
        models: Sequence[str] | None,
        grid: Sequence[Knobs],
        by_template: bool,
    ) -> None:
        self.traffic = traffic
        self.floor = floor
        self.per_task = dict(per_task)
        self.priors = priors
        self.notes: list[str] = []
        self.groups, self.group_of = self._largest(*_groups(traffic, by_template))
        told = [row.model for row in priors.rows if row.model]
        found = list(models) if models else [*scored_models(traffic), *told]
        self.options = _distinct(found)
        logged = _distinct(name for _, name in traffic.models if name)
        if not models:
            self.options = _distinct([*self.options, *logged])
        if not self.options:
            raise InputError(
                "no model to choose from: the log scores none and names none",
                remedy="Name candidates with --models, and give their quality with --scores.",
            )
        names = [name for _, name in traffic.models]
        self.names: list[str | None] = [*names, *(name for name in self.options if name not in names)]
        every = [self._strategy(knobs, target) for knobs in grid for target in (None, *self.options)]
        self._shared = Shared(every)
        self.gathered: Gathered = self._shared.once("gathered", lambda: Gathered.of(traffic))
        self.scores = self.gathered.scores(self.names)
        everywhere = np.ones(len(traffic), bool)  # an option is tried on every call
        self.assignment = self.gathered.assignment(lambda: everywhere)
        self.slow = self._too_slow(latency_p95_ms)
        self.mean_logged = 1.0

    def table(self, knobs: Knobs) -> Table:
        """Cost in pico-dollars and worth, both float64, of each option (second axis) in each group (first axis)."""
        groups, options = len(self.groups), len(self.options) + 1
        cost = np.full((groups, options), np.inf)
        worth = np.full((groups, options), np.nan)
        inside = self.traffic.window & (self.traffic.cost != vocabulary.UNPRICED)
        for option in range(options):
            target = self.options[option - 1] if option else None
            engine = self.engine(self._strategy(knobs, target))
            outcome = engine.evaluate(engine.everything)
            unpriced = inside & (outcome.cost_pico == vocabulary.UNPRICED)
            known = inside & ~unpriced
            cost[:, option] = np.bincount(
                self.group_of[known], weights=outcome.cost_pico[known].astype(np.float64), minlength=groups
            )
            cost[np.unique(self.group_of[unpriced]), option] = np.inf
            if target is not None and unpriced[inside].all() and not any(target in note for note in self.notes):
                self.notes.append(f"{target} has no price, so it was not tried: {near_models(target)}")
            worth[:, option] = self._worth(engine, outcome, option)
            if option in self.slow:
                cost[self.slow[option], option] = np.inf
        if self.groups[-1].others:
            cost[-1, 1:] = np.inf  # no rule names them, so they stay where they are
        return Table(knobs, cost, worth, frontier(cost, worth))

    def _largest(self, groups: list[Group], group_of: NDArray[np.int64]) -> tuple[list[Group], NDArray[np.int64]]:
        """The groups that cost most; all others are one, which stays as it is."""
        cost = np.where(self.traffic.window, np.maximum(self.traffic.cost, 0), 0).astype(np.float64)
        kept, place = largest(group_of, cost, MOST_GROUPS)
        if len(kept) == len(groups):
            return groups, group_of
        others = place == len(kept)
        part = cost[others].sum() / cost.sum() if cost.any() else 0.0
        self.notes.append(
            f"{len(groups) - len(kept):,} smaller agents and tasks, {formatting.share(part)} of the cost, keep their"
            f" models: only the {len(kept):,} that cost most are told apart"
        )
        return [*(groups[number] for number in kept.tolist()), Group(None, None, others=True)], place

    def _strategy(self, knobs: Knobs, target: str | None) -> Strategy:
        return Strategy.model_validate(
            {
                "name": "candidate",
                "route": [{"default": target}] if target else [],
                "cache": knobs.cache,
                "compress": knobs.compress,
                "quality": Quality(floor=self.floor),
            }
        )

    def engine(self, strategy: Strategy) -> Engine:
        """The replay of a strategy, which shares what does not depend on its rules with that of all the others."""
        return Engine(self.traffic, strategy, self._shared)

    def _worth(self, engine: Engine, outcome: Outcome, option: int) -> Floats:
        """Guaranteed quality per group under one option: share x lower bound of (served - floor x logged)."""
        cells = cells_of(self._evidence(engine, outcome))
        known = [cell for cell in cells if cell.moments is not None]
        found = estimates(
            [cell.moments for cell in known if cell.moments is not None],
            self.floor,
            [(cell.logged, cell.served) for cell in known],
        )
        from scipy.special import stdtrit

        number = {group.label: i for i, group in enumerate(self.groups)}
        worth = np.zeros(len(self.groups))
        for cell, estimate in zip(known, found, strict=True):
            bound = estimate.mean - float(stdtrit(estimate.freedom, CELL_CONFIDENCE)) * estimate.error
            worth[number[str(cell.task)]] += cell.share * bound
        for cell in cells:
            if cell.moments is None:
                worth[number[str(cell.task)]] = np.nan
        if option == 0:
            scored = [cell for cell in known if cell.moments is not None and cell.moments.scored]
            share = sum(cell.share for cell in scored)
            if share:
                self.mean_logged = sum(c.share * c.moments.mean_logged for c in scored if c.moments) / share
        else:
            for pattern, floor in self.per_task.items():
                self._forbid(pattern, floor, cells, number, worth)
        return worth

    def _forbid(
        self, pattern: str, floor: float, cells: Sequence[Cell], number: Mapping[str, int], worth: Floats
    ) -> None:
        """A group under a floor of its own may take an option only if the option keeps that floor by itself."""
        for label, place in number.items():
            task = self.groups[place].task
            if task is None or not fnmatchcase(task.lower(), pattern.lower()):
                continue
            mine = [cell for cell in cells if cell.task == label and cell.moments is not None]
            found = estimates([cell.moments for cell in mine if cell.moments is not None], floor)
            bound = sum(c.share * (e.mean - 1.645 * e.error) for c, e in zip(mine, found, strict=True))
            if bound < 0:
                worth[place] = np.nan

    def _evidence(self, engine: Engine, outcome: Outcome) -> Evidence:
        kept = np.zeros(len(self.traffic), bool)
        position = np.array([self.names.index(name) for _, name in engine.models], np.int32)
        return Evidence(
            spec=engine.strategy.quality,
            demand=Demand(
                logged=position[self.traffic.model],
                served=position[outcome.model],
                task=self.group_of.astype(np.int32),
                counted=self.traffic.window & self.traffic.demand,
                risky=engine.requests.compressed.lossy if engine.strategy.compress else kept,
                weight=self.traffic.weight_micro,
                models=self.names,
                tasks=[group.label for group in self.groups],
            ),
            scores=self.scores[0],
            priors=self.priors,
            shadow=self.scores[1],
            units=self.gathered.units,
            assignment=self.assignment,
        )

    def _too_slow(self, limit: float | None) -> dict[int, NDArray[np.int64]]:
        """By option, the groups in which its logged 95th percentile of duration exceeds the limit."""
        if limit is None:
            return {}
        duration = (self.traffic.end_ms - self.traffic.start_ms).astype(np.float64)
        result = {}
        for option, name in enumerate(self.options, start=1):
            mine = np.isin(self.traffic.model, [i for i, (_, m) in enumerate(self.traffic.models) if m == name])
            mine &= duration > 0
            if not mine.any():
                self.notes.append(f"no durations of {name} in the log: its latency is not checked")
                continue
            overall = float(np.quantile(duration[mine], 0.95))
            slow = []
            for group in range(len(self.groups)):
                own = duration[mine & (self.group_of == group)]
                p95 = float(np.quantile(own, 0.95)) if len(own) >= 20 else overall
                if p95 > limit:
                    slow.append(group)
            result[option] = np.array(slow, np.int64)
        return result


def _groups(traffic: Traffic, by_template: bool) -> tuple[list[Group], NDArray[np.int64]]:
    """The (agent, task) pairs of the log, with their templates if asked, and the group of each call."""
    width = len(traffic.tasks)
    pair = traffic.agent.astype(np.int64) * width + traffic.task
    if not by_template:
        used, code = np.unique(pair, return_inverse=True)
        return [Group(traffic.agents[int(p) // width], traffic.tasks[int(p) % width]) for p in used], code
    names = traffic.rule_frame(["template"])["template"]
    known = sorted(names.drop_nulls().unique().to_list())
    place = {name: number for number, name in enumerate(known)}
    number = np.array([place.get(name, len(known)) for name in names.to_list()], np.int64)
    used, code = np.unique(pair * (len(known) + 1) + number, return_inverse=True)
    groups = []
    for value in used.tolist():
        left, right = divmod(value, len(known) + 1)
        template = known[right] if right < len(known) else None
        groups.append(Group(traffic.agents[left // width], traffic.tasks[left % width], template, True))
    return groups, code


def _distinct(names: Sequence[str] | Iterator[str]) -> list[str]:
    return list(dict.fromkeys(names))
