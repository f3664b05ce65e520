"""The evidence on the quality of one replayed strategy, gathered for the gate (replay.quality.gate)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import polars as pl

from replay.engine.engine import Engine
from replay.quality import public_priors
from replay.quality.evidence import Demand, Evidence
from replay.quality.gathered import Gathered
from replay.quality.scores import Priors
from replay.stages import rule_evaluation
from replay.traffic.largest_groups import largest
from replay.traffic.traffic import Bool, Int32

MOST_TASKS: Final = 2000  # that are judged by themselves
OTHERS: Final = "(all smaller tasks)"
_BY_MODEL = ("model", "provider_name")  # what a rule may see of the model that a call had


def evidence_for(engine: Engine, priors: Priors | None = None) -> Evidence:
    """The evidence on a replayed strategy: scored calls of the log up to the window's end, judged on the window."""
    traffic = engine.traffic
    n = len(traffic)
    served = engine.served(engine.everything)[0]
    risky = np.zeros(n, bool)
    if "prompts" in engine.players:
        risky |= engine.requests.reworded.changed
    if "compress" in engine.players:
        risky |= engine.requests.compressed.lossy
    if engine.strategy.cache is None:
        risky &= ~traffic.gateway_hit  # answered before any stage could change the request
    if "cache" in engine.players and engine.strategy.cache is not None and "mask" in engine.strategy.cache.key:
        risky |= engine.evaluate(engine.everything).hits
    names = [model for _, model in engine.models]
    gathered: Gathered = engine.shared.once("gathered", lambda: Gathered.of(traffic))
    log, shadow = gathered.scores(names)
    priors = priors or Priors()
    task, tasks = _tasks(engine, priors)
    return Evidence(
        spec=engine.strategy.quality,
        demand=Demand(
            logged=traffic.model,
            served=served,
            task=task,
            counted=traffic.window & traffic.demand,
            risky=risky,
            weight=traffic.weight_micro,
            models=names,
            tasks=tasks,
        ),
        scores=log,
        priors=priors,
        shadow=shadow,
        units=gathered.units,
        assignment=gathered.assignment(cache(lambda: reachable(engine, served))),
    )


def _tasks(engine: Engine, priors: Priors) -> tuple[Int32, Sequence[str | None]]:
    """Each call's task and the names: the largest ones and those that the file or a table speaks of; all others one."""
    traffic, spec = engine.traffic, engine.strategy.quality
    if len(traffic.tasks) <= MOST_TASKS:
        return traffic.task, traffic.tasks
    spoken = [row.task for row in (*spec.table, *priors.rows, *public_priors.rows(spec.priors)) if row.task is not None]
    named = re.compile("|".join(fnmatch.translate(one.lower()) for one in {*spec.per_task, *spoken}) or r"(?!)")
    always = np.array([name is not None and bool(named.match(name.lower())) for name in traffic.tasks], np.bool_)
    weight = np.where(traffic.window & traffic.demand, traffic.weight_micro, 0).astype(np.float64)
    kept, place = largest(traffic.task.astype(np.int64), weight, MOST_TASKS, always=always)
    return place.astype(np.int32), [*(traffic.tasks[number] for number in kept.tolist()), OTHERS]


def reachable(engine: Engine, served: Int32) -> Bool:
    """Calls that the rules would send to the model that served them, had one of the moved calls' models served them.
    `served` is each call's model under the strategy.

    Rules that look at the model are asked once for each of those models.
    """
    traffic, strategy = engine.traffic, engine.strategy
    columns = rule_evaluation.columns(strategy)
    index = np.array([*(engine.index_of(n) for n in rule_evaluation.targets(strategy)), -1])
    frame = traffic.rule_frame(columns)
    seen = [name for name in _BY_MODEL if name in columns]
    if not seen:
        return index[rule_evaluation.destinations(strategy, frame)[0]] == traffic.model
    result = np.zeros(len(traffic), bool)
    for number in np.unique(traffic.model[served != traffic.model]).tolist():
        provider, model = traffic.models[number]
        told = {"model": model, "provider_name": provider}
        asked = frame.with_columns(pl.lit(told[name], dtype=pl.String).alias(name) for name in seen)
        result |= index[rule_evaluation.destinations(strategy, asked)[0]] == traffic.model
    return result
