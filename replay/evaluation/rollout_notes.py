"""What a reader of a verified rollout should know beside the figures: who is missing, mixed up or not as planned."""

from __future__ import annotations

import numpy as np

from analysis.formatting import count, money, share
from analysis.money import dollars
from replay.evaluation.backtest import Bools
from replay.evaluation.comparison import mixed_arms
from replay.evaluation.rollout_effects import DEMAND, Effects
from replay.evaluation.rollout_log import Log
from replay.evaluation.unit_table import CONTROL, TREATED
from replay.quality.scores import other_scale
from replay.strategy.schema import Strategy
from replay.traffic.demand_units import column
from replay.traffic.traffic import MICRO


def notes(log: Log, strategy: Strategy, effects: Effects, real: Bools, carried: Bools) -> list[str]:
    """Sentences on what may be wrong with the comparison, or is missing from it."""
    traffic, units, table = log.traffic, log.units, log.table
    noun = units.noun
    found = []
    if strategy.cache and not (real & traffic.gateway_hit).any():
        found.append("the log shows no cache hits after the rollout: calls answered by a cache of yours are not in it")
    if log.early.any():
        number = len(np.unique(units.of_call[log.early]))
        found.append(
            f"{count(number, noun)} of the first day came before the first one with an arm: the rollout begins there, "
            "and they are on neither side"
        )
    if units.known < 1:
        found.append(f"{share(1 - units.known)} of the calls name no {units.name}: each counts as one of its own")
    if carried.any():
        begun = len(np.unique(units.of_call[carried]))
        cost = money(dollars(int(np.maximum(traffic.cost[carried], 0).sum())))
        found.append(f"{count(begun, noun)} began before the rollout and cost {cost} after it: as billed on both sides")
    both = int(table.both_arms.sum())
    if both and not mixed_arms(table, log.day):
        found.append(f"{count(both, noun)} had calls in both arms and count in the arm of their first")
    users = _users_in_both(log)
    if users:
        found.append(
            f"{count(users, 'user')} had {noun}s in both arms: what they learn in one shows in the other and hides part"
            " of the effect; give users an arm (hindcast rollout plan --draw user)"
        )
    if (traffic.weight_micro[traffic.window] != MICRO).any():
        found.append(
            f"rows of the log stand for several calls: {noun}s that were not sampled are missing from the demand"
        )
    if log.arms.source == "hash":
        found.append("the log names no arm: who was treated is taken from the strategy's rollout block")
    if effects.void:
        found.append(f"{effects.void}: no effect is claimed")
    if (voided := other_scale(traffic.store)) is not None:
        found.append(voided)
    if effects.unfair:
        found.append(f"quality: {effects.unfair}; no effect on it is told. Score every {noun}, or a sample by chance")
    demand = effects.get(DEMAND)
    if demand and demand.claimed:
        change = share(demand.estimate.relative, sign=True)
        if effects.design == "holdback":
            found.append(
                f"the treated ask for another number of {noun}s ({change} for each {log.arms.unit or 'unit drawn'}):"
                " demand answers to the rollout, which the cost of one does not show"
            )
        else:
            found.append(
                f"demand moved with the rollout ({change}): whether it answered to it, only a holdback of users can"
                " tell; the forecast takes the demand that came"
            )
    for one in effects.effects.values():
        if one.doubtful:
            found.append(
                f"{one.measure}: {one.placebo_claims} of {one.placebo_dates} days without a rollout look like one too, "
                "so that no effect is claimed"
            )
    return found


def _users_in_both(log: Log) -> int:
    """Users with calls in both arms, where conversations and the like were drawn."""
    if log.arms.unit == "user" or not (log.arms.of_call == CONTROL).any():
        return 0
    user = column(log.traffic, "user_id")
    if user.null_count() == len(user):
        return 0
    known = user.is_not_null().to_numpy()
    code = user.rank("dense").fill_null(0).to_numpy()
    treated, control = (np.unique(code[known & (log.arms.of_call == side)]) for side in (TREATED, CONTROL))
    return len(np.intersect1d(treated, control))
