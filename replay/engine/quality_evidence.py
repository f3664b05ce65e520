"""The evidence on the quality of one replayed strategy, gathered for the gate (replay.quality.gate)."""

from __future__ import annotations

import numpy as np

from replay.engine.engine import Engine, Outcome
from replay.quality.evidence import Demand, Evidence
from replay.quality.scores import Priors, score_rows, stored_scores


def evidence_for(engine: Engine, outcome: Outcome, priors: Priors | None = None) -> Evidence:
    """The evidence on a replayed strategy: scored calls of the log up to the window's end, judged on the window."""
    traffic = engine.traffic
    n = len(traffic)
    risky = np.zeros(n, bool)
    if "prompts" in engine.players:
        risky |= engine.reworded.changed
    if "compress" in engine.players:
        risky |= engine.compressed.lossy
    if engine.strategy.cache is None:
        risky &= ~traffic.gateway_hit  # answered before any stage could change the request
    if "cache" in engine.players and engine.strategy.cache is not None and "mask" in engine.strategy.cache.key:
        risky |= outcome.hits
    names = [model for _, model in engine.models]
    return Evidence(
        spec=engine.strategy.quality,
        demand=Demand(
            logged=traffic.model,
            served=outcome.model,
            task=traffic.task,
            counted=traffic.window & traffic.demand,
            risky=risky,
            weight=traffic.weight_micro,
            models=names,
            tasks=traffic.tasks,
        ),
        scores=stored_scores(traffic, names, engine.shared.once("scores", lambda: score_rows(traffic))),
        priors=priors or Priors(),
    )
