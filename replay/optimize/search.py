"""The cheapest policy that keeps its quality floor: which model for each task, with which cache and compression.

Every (agent, task) is a group and every candidate model an option. What an option costs comes from the replay itself,
with the cache and the compression of each point of a small grid; what it is worth is the lower bound of its quality
difference, not the estimate, because picking the best of many estimates picks the luckiest one. Measured on ZeroEval
(3 tasks, 20 models, 100 scored calls a task, target 95 %): choosing by estimates misses the target in 80 % of
resampled runs, by 95 % lower bounds in 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.engine.quality_evidence import evidence_for
from replay.optimize.frontier import pareto
from replay.optimize.grid import Knobs, default_grid
from replay.optimize.milp import assign
from replay.optimize.optimum import Optimum, Point
from replay.optimize.options import Options, Table
from replay.optimize.write_strategy import KEEP, policy_of
from replay.quality.gate import assess
from replay.quality.scores import Priors
from replay.strategy.quality_schema import Quality
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load

CACHE_MARGIN: Final = 0.005  # a longer time to live must save this share more than a shorter one to be worth its age


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
    grid = default_grid(traffic, base) if grid is None else grid
    search = Options(traffic, aim, per_task or {}, latency_p95_ms, priors or Priors(), models, grid, by_template)
    tables = []
    for knobs in grid:
        tables.append(search.table(knobs))
        if done:
            done(knobs.label)
    margin = 0.0
    for _ in range(5):  # the linear bound is nearly always the stricter one; tighten if the verdict disagrees
        picks = [(table, choice) for table in tables if (choice := _choose(table, margin, max_models)) is not None]
        if not picks:
            break
        table, choice = _cheapest(picks)
        result, holds = _finish(search, table, choice, base, name, floor)
        if holds:
            return _with_front(result, tables, search)
        margin += 0.25 * max(1.0 - aim, 0.01)
    raise InputError(
        f"no policy is shown to keep the floor {aim:g}",
        remedy="Score more calls (hindcast shadow), or lower --quality-floor.",
    )


def _choose(table: Table, margin: float, max_models: int | None) -> NDArray[np.int16] | None:
    if max_models is None:
        return table.front.cheapest(margin)
    return assign(table.cost, table.quality, margin, max_models=max_models, free_option=0)


def _finish(
    search: Options, table: Table, choice: NDArray[np.int16], base: Strategy | None, name: str, floor: float
) -> tuple[Optimum, bool]:
    """Write the strategy, replay it whole and judge it by `floor`: the tables only chose it.

    Returns it and whether it reaches what was searched for.
    """
    picked = [search.options[option - 1] if option else KEEP for option in choice.tolist()]
    strategy = policy_of(
        name,
        search.groups,
        picked,
        cache=table.knobs.cache,
        compress=table.knobs.compress,
        judged=Quality(floor=floor, per_task=search.per_task),
        base=base,
    )
    engine = search.engine(strategy)
    outcome = engine.evaluate(engine.everything)
    found = evidence_for(engine, search.priors)
    report = assess(found)
    aimed = assess(replace(found, spec=Quality(floor=search.floor, per_task=search.per_task)))
    kept = (
        search.traffic.window
        & (search.traffic.cost != vocabulary.UNPRICED)
        & (outcome.cost_pico != vocabulary.UNPRICED)
    )
    evidence = {(cell.task, cell.served): cell.evidence for cell in report.cells}
    optimum = Optimum(
        strategy=strategy,
        cost_pico=int(outcome.cost_pico[kept].sum()),
        baseline_pico=int(search.traffic.cost[kept].sum()),
        report=report,
        front=(),
        assignment=tuple(
            (group, model, "kept" if model == KEEP else evidence.get((group.task, model), "kept"))
            for group, model in zip(search.groups, picked, strict=True)
        ),
        notes=tuple(search.notes),
    )
    return optimum, aimed.verdict == "passes"


def _cheapest(picks: Sequence[tuple[Table, NDArray[np.int16]]]) -> tuple[Table, NDArray[np.int16]]:
    """The cheapest pick; of those within half a percent of it the one that stands earliest in the grid."""
    costs = [float(table.cost[np.arange(len(choice)), choice].sum()) for table, choice in picks]
    least = min(costs)
    first = next(i for i, cost in enumerate(costs) if cost <= least * (1 + CACHE_MARGIN))
    return picks[first]


def _with_front(result: Optimum, tables: Sequence[Table], search: Options) -> Optimum:
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
    return replace(result, front=points)
