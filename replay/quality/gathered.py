"""What a store says on the quality of its calls: scores, what they belong to, how the models were chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from analysis.pricing.model_info import counts_alike
from replay.quality import call_learner
from replay.quality.score_units import ScoreUnits, spread, units_of
from replay.quality.scores import Bools, Floats, Int64, ScoreRows, Scores, score_rows, stored_scores
from replay.quality.selection import Assignment, Learner
from replay.traffic.chosen_by import chosen_by
from replay.traffic.traffic import Traffic

MOST_AGENTS: Final = 10  # whose shares of two models' calls are compared


@dataclass(frozen=True)
class Gathered:
    """The scores of a traffic, one judge apart from the log, each given to all calls of what it belongs to."""

    traffic: Traffic
    log: ScoreRows
    shadow: ScoreRows
    units: ScoreUnits | None
    propensity: Floats
    random: Bools
    _learners: dict[bytes, Learner | str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, traffic: Traffic) -> Gathered:
        rows = score_rows(traffic)
        log, shadow = rows.of_log(), rows.of_shadow()
        units = units_of(traffic, log if len(log.call) else shadow)
        if units is not None:
            log = spread(log, units)
        if len(log.call):
            propensity, random = chosen_by(traffic)
        else:
            propensity, random = np.full(len(traffic), np.nan), np.zeros(len(traffic), bool)
        return cls(traffic, log, shadow, units, propensity, random)

    def scores(self, models: list[str | None]) -> tuple[Scores, Scores]:
        """(scores of the log, of shadow runs) by the position of each model in `models`."""
        return stored_scores(self.traffic, models, self.log), stored_scores(self.traffic, models, self.shadow)

    def assignment(self, reachable: Callable[[], Bools]) -> Assignment:
        """How the models were chosen, for a strategy whose rules reach these calls whatever model they had."""
        return Assignment(self.propensity, self.random, reachable, self._learner, self._before)

    def _before(self, calls: Int64) -> Mapping[str, Floats]:
        """What was known of these calls before they were sent, of first calls of conversations alone.

        Later calls follow from the answers of the model that had the first. Tokens are compared where all models of
        these calls count alike.
        """
        traffic = self.traffic
        if not len(calls) or (np.isnan(self.propensity[calls]).all() and not self.random[calls].any()):
            return {}
        names = ("agent", "input_words", "tool_count", "hour", "turn")
        frame = traffic.rule_frame(list(names))[calls]
        first = (frame["turn"] == 1).to_numpy()
        found = {"the day": traffic.day[calls].astype(np.float64)}
        found["the hour"] = frame["hour"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        models = [traffic.models[number] for number in np.unique(traffic.model[calls]).tolist()]
        if all(counts_alike(models[0], other) for other in models[1:]):
            found["input tokens"] = np.log1p(np.maximum(traffic.usage.input[calls], 0).astype(np.float64))
        for name, words in (("input_words", "words of the prompt"), ("tool_count", "tools")):
            found[words] = np.log1p(frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy())
        agents = frame["agent"].cast(pl.String).fill_null("")
        for agent in agents.value_counts(sort=True)[agents.name].head(MOST_AGENTS).to_list():
            found[f"calls of agent `{agent or '-'}`"] = (agents == agent).to_numpy().astype(np.float64)
        return {name: np.where(first, values, np.nan) for name, values in found.items()}

    def _learner(self, calls: Int64) -> Learner | str:
        key = calls.tobytes()
        if key not in self._learners:
            self._learners[key] = call_learner.learner(self.traffic, calls)
        return self._learners[key]
