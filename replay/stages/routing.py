"""The routing stage: which model serves each call, by rules and cascades, where the call fits it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.estimates.output_tokens import Pairs
from replay.quality.scores import stored_scores
from replay.stages import eligibility, rule_evaluation
from replay.strategy.fields import Selection
from replay.strategy.schema import LOGGED, Rule, Strategy
from replay.traffic.traffic import Bool, Int32, Int64, Traffic
from replay.traffic.unit_draws import uniform


@dataclass(frozen=True)
class Routing:
    """Where each call went. `tried`: the steps of cascades that were paid and escalated past, (calls, model index)."""

    model: Int32  # that serves each call, an index into the engine's models
    stayed: dict[str, int]  # calls of the window that did not fit their rule's target, by reason
    tried: tuple[tuple[Bool, int], ...] = ()
    unscored: int = 0  # cascade calls of the window whose escalation no score decides


def named_models(strategy: Strategy) -> list[str]:
    """Every model that a strategy may send a call to, each once, in order of the file."""
    names = [step for rule in strategy.route for step in (rule.cascade or (rule.target(),))]
    names += [strategy.classifier.model] if strategy.classifier else []
    names += [strategy.on_error] if strategy.on_error else []
    return [name for name in dict.fromkeys(names) if name.lower() != LOGGED]


def route(traffic: Traffic, strategy: Strategy, models: Pairs, index: dict[str, int], input_tokens: Int64) -> Routing:
    """Apply the rules. `index`: the position in `models` of each name; `input_tokens`: as they would be sent."""
    from replay.kernels.common.dense_ids import pick

    targets, number = destinations(traffic, strategy)
    if traffic.side is not None:
        targets, number = (np.where(traffic.side, np.int32(-1), column) for column in (targets, number))
    position = np.array([*(index[name] for name in rule_evaluation.targets(strategy)), -1], np.int32)
    wanted = pick(position, targets)  # a target of -1 takes the last
    np.copyto(wanted, traffic.model, where=wanted < 0)
    tried: list[tuple[Bool, int]] = []
    unscored = 0
    for place, rule in enumerate(strategy.route):
        if rule.cascade:
            mine = number == place
            unsure = _cascade(traffic, rule, mine, models, index, input_tokens, wanted, tried)
            unscored += int((unsure & traffic.window).sum())
    moved = wanted != traffic.model
    stays = np.zeros(len(traffic), np.bool_)
    counts: dict[str, int] = {}
    for reason, mask in eligibility.refusals(traffic, models, wanted, input_tokens).items():
        if mask.any():
            counts[reason] = int((mask & moved & ~stays & traffic.window).sum())
            stays |= mask & moved
    np.copyto(wanted, traffic.model, where=stays)
    return Routing(wanted, {reason: count for reason, count in counts.items() if count}, tuple(tried), unscored)


def destinations(traffic: Traffic, strategy: Strategy) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(first target, number of the rule that decided or -1) of each call."""
    from replay.kernels.common.dense_ids import pick

    columns = rule_evaluation.columns_of(strategy.route)
    if strategy.route_by == "conversation":
        columns = sorted({*columns, "conversation_id"})
        return rule_evaluation.destinations(strategy, traffic.rule_frame(columns))
    distinct = traffic.columns.distinct(columns)
    if distinct is None:
        return rule_evaluation.destinations(strategy, traffic.rule_frame(columns))
    number, frame = distinct
    target, rule = rule_evaluation.destinations(strategy, frame)
    return pick(target, number), pick(rule, number)


def _cascade(
    traffic: Traffic,
    rule: Rule,
    mine: Bool,
    models: Pairs,
    index: dict[str, int],
    input_tokens: Int64,
    wanted: Int32,
    tried: list[tuple[Bool, int]],
) -> Bool:
    """Walk the steps of one cascade: fill in `wanted`, list the steps paid for nothing. Returns the unscored calls.

    A call that does not fit a step skips it unpaid: the provider refuses it before it is served.
    """
    steps = [traffic.model if step.lower() == LOGGED else index[step] for step in rule.cascade]
    left = mine.copy()
    unsure = np.zeros(len(traffic), np.bool_)
    # a cascade that ran has its earlier steps in the log, as calls of their own
    ran = np.where(traffic.marks.step < len(steps), traffic.marks.step, np.int8(-1))
    for place, step in enumerate(steps[:-1]):
        model = np.where(left, step, traffic.model).astype(np.int32)
        fits = left & (ran <= place)
        for mask in eligibility.refusals(traffic, models, model, input_tokens).values():
            fits &= ~mask
        up, unknown = _escalated(traffic, rule, place, model, models)
        if rule.escalate is not None and rule.escalate.share is not None:
            up &= ran != place  # the draw has been made
        unsure |= unknown & fits
        wanted[fits & ~up] = model[fits & ~up]
        paid = fits & up
        for number in np.unique(model[paid]).tolist():
            tried.append((paid & (model == number), number))
        left &= ~(fits & ~up)
    wanted[left] = np.broadcast_to(np.asarray(steps[-1], np.int32), len(traffic))[left]
    return unsure


def _escalated(traffic: Traffic, rule: Rule, place: int, model: Int32, models: Pairs) -> tuple[Bool, Bool]:
    """(escalates past this step, no score says so) per call.

    Where the rule goes by score, an unscored call escalates as often as the scored ones do, drawn by its identity; if
    none is scored every call escalates, which is the dearer end.
    """
    spec = rule.escalate
    assert spec is not None
    draw = uniform(traffic.identity, place)
    if spec.share is not None:
        return draw < spec.share, np.zeros(len(traffic), np.bool_)
    if spec.when is not None:
        signal = Selection(when=spec.when)
        return rule_evaluation.selected(signal, traffic.rule_frame(rule_evaluation.columns_of([signal]))), np.zeros(
            len(traffic), np.bool_
        )
    score = stored_scores(traffic, [name for _, name in models]).of(model, len(traffic))
    known = ~np.isnan(score)
    low = known & (np.nan_to_num(score) < (spec.score_below or 0.0))
    share = float(low[known].mean()) if known.any() else 1.0
    return low | (~known & (draw < share)), ~known


def logged_pair(models: Pairs, target: str) -> tuple[str | None, str | None]:
    """A rule names a model: the logged pair of that name, else the only one that is `vendor/name` of it, else
    `provider/model`, else the name alone."""
    for pair in models:
        if pair[1] == target:
            return pair
    provider, slash, name = target.partition("/")
    if not slash:
        longer = [pair for pair in models if pair[1] and pair[1].rpartition("/")[2] == target]
        return longer[0] if len(longer) == 1 else (None, target)
    return provider, name
