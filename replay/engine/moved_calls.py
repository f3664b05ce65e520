"""What moved calls are expected to become: tokens at the middle, and the dollars' range in one factor per group.

The middle of each expectation (calls per unit, input growth, answer length) goes into the tokens and the cost. The ends
of a strategy's range are the ends of the predictive distribution of each group's dollars, not of each part by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.price_book import vocabulary
from replay.estimates.behaviour import Behaviour, Move, spread_of
from replay.estimates.output_tokens import declared
from replay.strategy.schema import Strategy
from replay.traffic.traffic import Bool, Int32, Int64

Floats = NDArray[np.float64]


@dataclass
class MovedCalls:
    """The groups of calls that one routing moves, and what is expected of each."""

    behaviour: Behaviour
    strategy: Strategy
    served: Int32

    @cached_property
    def _groups(self) -> tuple[Int64, Int64, list[Move]]:
        return self.behaviour.groups(self.served, np.ones(len(self.served), np.bool_))

    @property
    def moves(self) -> list[Move]:
        """One expectation per source, target, agent, task and use of tools."""
        return self._groups[2]

    def declared_output(self, move: Move) -> bool:
        """Whether the file, or answers to the same calls, give the length of the answers."""
        traffic = self.behaviour.traffic
        task = traffic.tasks[move.cell % len(traffic.tasks)]
        return declared(self.strategy, task, self.behaviour.models[move.target]) is not None

    @property
    def declared_calls(self) -> bool:
        """Whether the file says how many rounds more a moved call takes."""
        return bool(self.strategy.rework)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """Ratios to the logged calls, and the log spread (standard deviation) of each."""
        traffic, models = self.behaviour.traffic, self.behaviour.models
        for move in self.moves:
            agent, task = divmod(move.cell, len(traffic.tasks))
            yield {
                "agent": traffic.agents[agent],
                "task": traffic.tasks[task],
                "from": models[move.source][1],
                "to": models[move.target][1],
                "units": move.moved_units,
                "seen_units": move.seen_units,
                "chosen": move.chosen,
                "calls_per_unit": 1.0 if self.declared_calls else round(move.calls, 4),
                "input_per_call": round(move.growth, 4),
                "output_per_call": None if self.declared_output(move) else round(move.output, 4),
                "spread": {
                    "calls": 0.0 if self.declared_calls else round(move.calls_spread, 4),
                    "input": round(move.growth_spread, 4),
                    "output": 0.0 if self.declared_output(move) else round(move.output_spread, 4),
                    "luck": round(move.luck, 4),
                },
            }

    def calls_of_each(self) -> Floats:
        """How many calls each call is expected to become: 1 where it stays, or where the file says it."""
        rows, group, moves = self._groups
        found = np.ones(len(self.served))
        if moves and not self.declared_calls:
            found[rows] = np.array([move.calls for move in moves])[group]
        return found

    def input(self, tokens: Int64) -> Int64:
        """`tokens` of the serving model's count, with the growth of the prompts."""
        return self._scaled(tokens, [move.growth for move in self.moves])

    def output(self, tokens: Int64) -> Int64:
        """`tokens` of the answers; as they are where the file gives their length."""
        return self._scaled(tokens, [1.0 if self.declared_output(move) else move.output for move in self.moves])

    def _scaled(self, tokens: Int64, ratios: list[float]) -> Int64:
        rows, group, moves = self._groups
        if not moves or all(ratio == 1.0 for ratio in ratios):
            return tokens
        scaled = tokens.copy()
        mine = tokens[rows]
        scaled[rows] = np.where(mine < 0, mine, np.rint(mine * np.array(ratios)[group]).astype(np.int64))
        return scaled

    def more_calls(self, cost: Int64, served_by_cache: Bool, bound: str, of_input: Callable[[], Int64]) -> Int64 | None:
        """Pico-dollars per call that other numbers of calls add to `cost`, or take from it; None where nothing does.

        At a `bound` other than mid also the way to that end of the range. `of_input` gives the cost without output.
        """
        rows, group, moves = self._groups
        if not moves:
            return None
        factor = np.array([1.0 if self.declared_calls else move.calls for move in moves])
        paid = (cost[rows] != vocabulary.UNPRICED) & ~served_by_cache[rows]
        if bound != "mid":
            whole = np.where(paid, cost[rows], 0).astype(np.float64)
            without = of_input()[rows]
            part = np.where(paid & (without != vocabulary.UNPRICED), without, 0).astype(np.float64)
            sums = [np.bincount(group, weights=one, minlength=len(moves)) for one in (whole, part)]
            share = np.where(sums[0] > 0, sums[1] / np.where(sums[0] > 0, sums[0], 1.0), 0.5)
            sign = -1.0 if bound == "low" else 1.0
            factor = factor * np.exp(sign * np.array([
                self.behaviour.scale(move)
                * spread_of(move, float(of), self.declared_output(move), self.declared_calls)
                for move, of in zip(moves, share, strict=True)
            ]))  # fmt: skip
        if (factor == 1.0).all():
            return None
        added = np.zeros(len(cost), np.int64)
        added[rows] = np.where(paid, np.rint(np.where(paid, cost[rows], 0) * (factor[group] - 1)).astype(np.int64), 0)
        return added
