"""The cheapest policy that keeps its quality floor: which model for each task, with which cache and compression.

Every (agent, task) is a group and every candidate model an option. What an option costs comes from the replay itself,
with the cache and the compression of each point of a small grid; what it is worth is the lower bound of its quality
difference, not the estimate, because picking the best of many estimates picks the luckiest one. Measured on ZeroEval
(3 tasks, 20 models, 100 scored calls a task, target 95 %): choosing by estimates misses the target in 80 % of
resampled runs, by 95 % lower bounds in 5 %.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.formatting import money, share, usd
from analysis.money import dollars
from analysis.price_book import vocabulary
from analysis.pricing.stored_overrides import near_models
from ingest.errors import InputError
from ingest.store.database import Store
from replay.engine.engine import Engine, Outcome
from replay.engine.quality_evidence import evidence_for
from replay.optimize.frontier import Frontier, frontier, pareto
from replay.optimize.milp import assign
from replay.optimize.write_strategy import KEEP, Group, policy_of
from replay.quality.cells import Cell
from replay.quality.evidence import Demand, Evidence
from replay.quality.gate import QualityReport, assess, cells_of
from replay.quality.gathered import Gathered
from replay.quality.intervals import estimates
from replay.quality.scores import Priors, scored_models
from replay.strategy.cache_schema import Cache, CacheTier
from replay.strategy.quality_schema import Quality
from replay.strategy.schema import Compressor, Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import Traffic

Floats = NDArray[np.float64]

CELL_CONFIDENCE: Final = 0.95
CACHE_MARGIN: Final = 0.005  # a longer time to live must save this share more than a shorter one to be worth its age
LOSSLESS: Final = ("whitespace", "json_minify", "dedup_paragraphs")


@dataclass(frozen=True)
class Knobs:
    """One point of the grid: what surrounds the routing."""

    label: str
    cache: Cache | None = None
    compress: tuple[Compressor, ...] = ()


@dataclass(frozen=True)
class Point:
    """A policy on the Pareto front. Cost in pico-dollars over the window; `quality_lower` as a ratio to logged."""

    knobs: str
    cost_pico: int
    quality_lower: float

    def to_json(self) -> dict[str, Any]:
        return {
            "knobs": self.knobs,
            "cost_usd": usd(dollars(self.cost_pico)),
            "quality_lower": round(self.quality_lower, 6),
        }


@dataclass(frozen=True)
class Optimum:
    """The chosen strategy, what it was chosen from, and what was left out and why."""

    strategy: Strategy
    cost_pico: int
    baseline_pico: int
    report: QualityReport
    front: tuple[Point, ...]
    assignment: tuple[tuple[Group, str, str], ...]  # (group, model or KEEP, evidence)
    notes: tuple[str, ...] = field(default=())

    @property
    def saved_share(self) -> float | None:
        return (self.baseline_pico - self.cost_pico) / self.baseline_pico if self.baseline_pico else None

    @property
    def summary(self) -> str:
        """What the strategy costs and keeps, in a sentence."""
        return (
            f"{money(dollars(self.cost_pico))} instead of {money(dollars(self.baseline_pico))}"
            f" ({share(self.saved_share)} saved) at {self.report.lower_90 or 0:.3f} of today's quality or better:"
            f" {self.report.verdict} {self.report.floor:g}."
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "strategy": self.strategy.document(),
            "cost_usd": usd(dollars(self.cost_pico)),
            "baseline_cost_usd": usd(dollars(self.baseline_pico)),
            "saved_share": self.saved_share,
            "quality": self.report.to_json(),
            "front": [point.to_json() for point in self.front],
            "assignment": [
                {
                    "agent": group.agent,
                    "task": group.task,
                    **({"template": group.template} if group.by_template else {}),
                    "model": model,
                    "evidence": evidence,
                }
                for group, model, evidence in self.assignment
            ],
            "notes": list(self.notes),
        }


def default_grid(traffic: Traffic, base: Strategy | None = None) -> list[Knobs]:
    """No cache, one hour, one day; with and without the lossless compressors; and what `base` has, if given."""
    squeeze = tuple(Compressor(name=name) for name in LOSSLESS)
    memory = CacheTier.model_validate({"name": "memory", "scope": "process", "ttl": "5m", "max_entries": 10_000})
    weighted = bool((traffic.weight_micro != 1_000_000).any())
    caches: list[tuple[str, Cache | None]] = [("no cache", None)]
    if not weighted and (traffic.key >= 0).any():
        for ttl in ("1h", "24h"):
            tiers = (memory, CacheTier.model_validate({"name": "shared", "scope": "shared", "ttl": ttl}))
            caches.append((f"cache {ttl}", Cache(tiers=tiers)))
        if base and base.cache:
            caches.append((f"cache of {base.name}", base.cache))
    compressions: list[tuple[str, tuple[Compressor, ...]]] = [("", ()), (" + lossless compression", squeeze)]
    if base and base.compress and all(part.lossless for part in base.compress):
        compressions.append((f" + compression of {base.name}", base.compress))
    return [Knobs(a + b, cache, parts) for a, cache in caches for b, parts in compressions]


def optimize(
    store: Store,
    *,
    floor: float = 0.95,
    models: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
    base: Strategy | None = None,
    grid: Sequence[Knobs] | None = None,
    per_task: Mapping[str, float] | None = None,
    max_models: int | None = None,
    latency_p95_ms: float | None = None,
    priors: Priors | None = None,
    name: str = "optimized",
    by_template: bool = False,
    reach: float | None = None,
    done: Callable[[str], None] | None = None,
) -> Optimum:
    """Choose the cheapest policy over the window whose quality bound stays above the floor.

    `reach`: look for a policy that reaches this instead, as another point of the front; it is still judged by `floor`,
    and its file asks for `floor`.
    `models` are the candidates, by default every model that has scores and every logged one. `by_template` tells the
    prompt templates of a task apart. Raises InputError where nothing is logged in the window or there is no candidate.
    """
    traffic = load(store, since=since, until=until)
    if not traffic.window.any():
        raise InputError("no calls in this window", remedy="Check --since and --until: hindcast cost --by day")
    aim = floor if reach is None else reach
    search = _Search(traffic, aim, per_task or {}, latency_p95_ms, priors or Priors(), models, by_template)
    grid = default_grid(traffic, base) if grid is None else grid
    tables = []
    for knobs in grid:
        tables.append(search.table(knobs))
        if done:
            done(knobs.label)
    margin = 0.0
    for _ in range(5):  # the linear bound is nearly always the stricter one; tighten if the verdict disagrees
        picks = [
            (table, choice) for table in tables if (choice := search.choose(table, margin, max_models)) is not None
        ]
        if not picks:
            break
        table, choice = _cheapest(picks)
        result, holds = search.finish(table, choice, base, name, floor)
        if holds:
            return _with_front(result, tables, search)
        margin += 0.25 * max(1.0 - aim, 0.01)
    raise InputError(
        f"no policy is shown to keep the floor {aim:g}",
        remedy="Score more calls (hindcast shadow), or lower --quality-floor.",
    )


@dataclass
class _Table:
    """Costs and guaranteed qualities of one grid point: groups x options, option 0 leaves the calls where they are."""

    knobs: Knobs
    cost: Floats
    quality: Floats
    front: Frontier


class _Search:
    def __init__(
        self,
        traffic: Traffic,
        floor: float,
        per_task: Mapping[str, float],
        latency_p95_ms: float | None,
        priors: Priors,
        models: Sequence[str] | None,
        by_template: bool = False,
    ) -> None:
        self.traffic = traffic
        self.floor = floor
        self.per_task = dict(per_task)
        self.priors = priors
        self.notes: list[str] = []
        self.groups, self.group_of = _groups(traffic, by_template)
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
        self.gathered = Gathered.of(traffic)
        self.scores = self.gathered.scores(self.names)
        everywhere = np.ones(len(traffic), bool)  # an option is tried on every call
        self.assignment = self.gathered.assignment(lambda: everywhere)
        self.slow = self._too_slow(latency_p95_ms)
        self._shared: dict[str, Engine] = {}
        self.mean_logged = 1.0

    # -- the tables ------------------------------------------------------------------------------------------------

    def table(self, knobs: Knobs) -> _Table:
        groups, options = len(self.groups), len(self.options) + 1
        cost = np.full((groups, options), np.inf)
        worth = np.full((groups, options), np.nan)
        inside = self.traffic.window & (self.traffic.cost != vocabulary.UNPRICED)
        for option in range(options):
            target = self.options[option - 1] if option else None
            engine = self._engine(knobs, target)
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
        return _Table(knobs, cost, worth, frontier(cost, worth))

    def _engine(self, knobs: Knobs, target: str | None) -> Engine:
        strategy = Strategy.model_validate(
            {
                "name": "candidate",
                "route": [{"default": target}] if target else [],
                "cache": knobs.cache,
                "compress": knobs.compress,
                "quality": Quality(floor=self.floor),
            }
        )
        engine = Engine(self.traffic, strategy)
        return self._share(engine)

    def _share(self, engine: Engine) -> Engine:
        """The compressed prompts are the same for every target model."""
        parts = engine.strategy.compress
        if parts:
            key = json.dumps([part.model_dump(mode="json") for part in parts], sort_keys=True)
            known = self._shared.setdefault(key, engine)
            if known is not engine:
                engine.shared = known.shared
        return engine

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
        position = np.array([self.names.index(name) for _, name in engine.models], np.int32)
        return Evidence(
            spec=engine.strategy.quality,
            demand=Demand(
                logged=position[self.traffic.model],
                served=position[outcome.model],
                task=self.group_of.astype(np.int32),
                counted=self.traffic.window & self.traffic.demand,
                risky=engine.compressed.lossy if engine.strategy.compress else np.zeros(len(self.traffic), bool),
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

    # -- choosing --------------------------------------------------------------------------------------------------

    def choose(self, table: _Table, margin: float, max_models: int | None) -> NDArray[np.int16] | None:
        if max_models is None:
            return table.front.cheapest(margin)
        return assign(table.cost, table.quality, margin, max_models=max_models, free_option=0)

    def finish(
        self, table: _Table, choice: NDArray[np.int16], base: Strategy | None, name: str, floor: float
    ) -> tuple[Optimum, bool]:
        """Write the strategy, replay it whole and judge it by `floor`: the tables only chose it.

        Returns it and whether it reaches what was searched for.
        """
        picked = [self.options[option - 1] if option else KEEP for option in choice.tolist()]
        strategy = policy_of(
            name,
            self.groups,
            picked,
            cache=table.knobs.cache,
            compress=table.knobs.compress,
            judged=Quality(floor=floor, per_task=self.per_task),
            base=base,
        )
        engine = self._share(Engine(self.traffic, strategy))
        outcome = engine.evaluate(engine.everything)
        found = evidence_for(engine, outcome, self.priors)
        report = assess(found)
        aimed = assess(replace(found, spec=Quality(floor=self.floor, per_task=self.per_task)))
        kept = (
            self.traffic.window
            & (self.traffic.cost != vocabulary.UNPRICED)
            & (outcome.cost_pico != vocabulary.UNPRICED)
        )
        evidence = {(cell.task, cell.served): cell.evidence for cell in report.cells}
        optimum = Optimum(
            strategy=strategy,
            cost_pico=int(outcome.cost_pico[kept].sum()),
            baseline_pico=int(self.traffic.cost[kept].sum()),
            report=report,
            front=(),
            assignment=tuple(
                (group, model, "kept" if model == KEEP else evidence.get((group.task, model), "kept"))
                for group, model in zip(self.groups, picked, strict=True)
            ),
            notes=tuple(self.notes),
        )
        return optimum, aimed.verdict == "passes"


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


def _cheapest(picks: Sequence[tuple[_Table, NDArray[np.int16]]]) -> tuple[_Table, NDArray[np.int16]]:
    """The cheapest pick; of those within half a percent of it the one that stands earliest in the grid."""
    costs = [float(table.cost[np.arange(len(choice)), choice].sum()) for table, choice in picks]
    least = min(costs)
    first = next(i for i, cost in enumerate(costs) if cost <= least * (1 + CACHE_MARGIN))
    return picks[first]


def _with_front(result: Optimum, tables: Sequence[_Table], search: _Search) -> Optimum:
    """Add the Pareto front over all grid points: cost against the guaranteed quality ratio."""
    cost = np.concatenate([table.front.cost for table in tables])
    worth = np.concatenate([table.front.quality for table in tables])
    label = [table.knobs.label for table in tables for _ in table.front.cost]
    usable = np.isfinite(cost) & np.isfinite(worth)
    places = np.flatnonzero(usable)
    chosen = places[pareto(cost[usable], worth[usable])]
    points = tuple(
        Point(label[i], int(Decimal(cost[i])), search.floor + float(worth[i]) / search.mean_logged)
        for i in chosen.tolist()
    )
    return Optimum(
        result.strategy, result.cost_pico, result.baseline_pico, result.report, points, result.assignment, result.notes
    )
