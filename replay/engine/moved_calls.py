"""What moved calls are expected to become: tokens at the middle, and the dollars' range in one factor per group.

The middle of each expectation (calls per unit, input growth, answer length) goes into the tokens and the cost. The ends
of a strategy's range are the ends of the predictive distribution of each group's dollars, not of each part by itself:
they come from sums over a group, so a call by itself has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
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


@dataclass(frozen=True)
class PaidMoves:
    """Moved calls that are paid: their rows, the code of each one's group, and pico-dollars."""

    rows: Int64
    code: Int64
    cost_pico: Int64
    of_input_pico: Int64


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

    def code_of_each(self) -> Int64:
        """The code of the group that each call moves with, -1 where it stays."""
        rows, group, moves = self._groups
        found = np.full(len(self.served), -1, np.int64)
        if moves:
            found[rows] = np.array([move.code for move in moves], np.int64)[group]
        return found

    def calls_of(self) -> dict[int, float]:
        """How many calls a call of each group is expected to become, by the group's code."""
        return {move.code: 1.0 if self.declared_calls else move.calls for move in self.moves}

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

    def more_calls(self, cost: Int64, served_by_cache: Bool) -> Int64 | None:
        """Pico-dollars per call that other numbers of calls add to `cost`, or take from it; None where nothing does."""
        rows, group, moves = self._groups
        if not moves or self.declared_calls or all(move.calls == 1.0 for move in moves):
            return None
        factor = np.array([move.calls for move in moves])[group]
        paid = (cost[rows] != vocabulary.UNPRICED) & ~served_by_cache[rows]
        added = np.zeros(len(cost), np.int64)
        added[rows] = np.where(paid, np.rint(np.where(paid, cost[rows], 0) * (factor - 1)).astype(np.int64), 0)
        return added

    def paid(self, cost: Int64, served_by_cache: Bool, without_output: Int64) -> PaidMoves:
        """What the moved calls that reach a provider cost there, with their output and without it."""
        rows, group, moves = self._groups
        reached = (cost[rows] != vocabulary.UNPRICED) & ~served_by_cache[rows]
        rows, group = rows[reached], group[reached]
        of_input = without_output[rows]
        codes = np.array([move.code for move in moves], np.int64)
        return PaidMoves(rows, codes[group], cost[rows], np.where(of_input == vocabulary.UNPRICED, 0, of_input))

    def factors(self, bound: str, shares: Mapping[int, tuple[int, int]]) -> dict[int, Fraction]:
        """What the cost of each group is multiplied with at one end of the range, by the group's code.

        `shares` are pico-dollars of each group's calls, of which a part is for input: both with the other end's prices.
        """
        sign = -1.0 if bound == "low" else 1.0
        found = {}
        for move in self.moves:
            whole, part = shares.get(move.code, (0, 0))
            spread = spread_of(
                move, part / whole if whole > 0 else 0.5, self.declared_output(move), self.declared_calls
            )
            calls = 1.0 if self.declared_calls else move.calls
            found[move.code] = Fraction(calls * math.exp(sign * self.behaviour.scale(move) * spread))
        return found
