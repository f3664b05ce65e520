"""What a routing policy pays beside the serving call: classifier, escalated steps, fallbacks and rework.

All of it belongs to the `route` stage. A classifier and a cascade's first step are paid on every demand call, also
where our cache then answers: the key holds the routed model, so the route must be known before the lookup.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from analysis.price_book import vocabulary
from analysis.pricing import rate_table
from replay.estimates import output_tokens
from replay.stages.routing import Routing
from replay.strategy.schema import Strategy
from replay.traffic.call_rates import CallRates
from replay.traffic.traffic import Bool, Int32, Int64, Traffic

KINDS: Final = ("classifier", "cascade", "on_error", "rework")


def side_costs(
    traffic: Traffic,
    strategy: Strategy,
    models: output_tokens.Pairs,
    rates: CallRates,
    index: dict[str, int],
    routing: Routing,
    *,
    input_tokens: Int64,
    cost: Int64,
    served: Bool,
    bound: str,
    usual_output: Callable[[], int],
) -> dict[str, Int64]:
    """Pico-dollars per call by kind, only the kinds that the strategy has; pricing.UNPRICED where unknown.

    `input_tokens` are the request's in the logged model's count; `cost` is what the serving call cost. `served` marks
    what a cache answered: ours, or the log's own gateway. `usual_output` gives the tokens of a fallback's answer.
    """
    found: dict[str, Int64] = {}
    pays = traffic.demand
    if strategy.classifier or strategy.on_error:
        pays = pays & ~traffic.carried_out(strategy.name)  # else they are calls of their own in the log
    if strategy.classifier:
        spec = strategy.classifier
        asked = pays & (~served if spec.placed == "after_cache" else True)
        tokens = np.full(len(traffic), spec.input_tokens), np.full(len(traffic), spec.output_tokens)
        found["classifier"] = _price(traffic, rates, asked, index[spec.model], *tokens)
    if routing.tried:
        total = np.zeros(len(traffic), np.int64)
        for calls, number in routing.tried:
            model = np.where(calls, number, traffic.model).astype(np.int32)
            output = output_tokens.output_tokens(traffic, models, model, strategy, bound)
            total = add(total, _price(traffic, rates, calls, number, input_tokens, output))
        found["cascade"] = total
    if strategy.on_error:
        failed = pays & traffic.failed & ~served
        output = np.full(len(traffic), usual_output())
        found["on_error"] = _price(traffic, rates, failed, index[strategy.on_error], input_tokens, output)
    if strategy.rework:
        found["rework"] = _rework(traffic, strategy, models, routing.model, cost, served, bound)
    return found


def summary_costs(traffic: Traffic, rates: CallRates, model: Int32, read: Int64, written: Int64, served: Bool) -> Int64:
    """Pico-dollars of the calls that summarise conversations, by the model that answers; none for `served` calls."""
    made = (written > 0) & ~served
    return _price(traffic, rates, made, model, read, written)


def add(total: Int64, more: Int64) -> Int64:
    """The sum, unknown where either part is."""
    unknown = (total == vocabulary.UNPRICED) | (more == vocabulary.UNPRICED)
    return np.where(unknown, vocabulary.UNPRICED, total + np.where(unknown, 0, more))


def _price(
    traffic: Traffic, rates: CallRates, calls: Bool, number: int | Int32, input_tokens: Int64, output: Int64
) -> Int64:
    """What these calls would cost at one model, or each at its own, uncached and at the standard tier; 0 elsewhere."""
    rows = np.flatnonzero(calls)
    usage = rate_table.Usage(
        model=np.broadcast_to(np.asarray(number, np.int32), len(traffic))[rows],
        start_ms=traffic.start_ms[rows],
        input=input_tokens[rows],
        output=output[rows],
        weight_micro=traffic.weight_micro[rows],
    )
    cost = np.zeros(len(traffic), np.int64)
    if len(rows):
        cost[rows] = rates.price(usage, rows).total
    return cost


def usual_output(traffic: Traffic) -> int:
    """The median answer of the log: a failed call has none of its own."""
    known = traffic.usage.output[(traffic.usage.output > 0) & ~traffic.failed]
    return int(np.median(known)) if len(known) else vocabulary.UNKNOWN


def _rework(
    traffic: Traffic,
    strategy: Strategy,
    models: output_tokens.Pairs,
    model_of: Int32,
    cost: Int64,
    served: Bool,
    bound: str,
) -> Int64:
    """Extra rounds of calls that were moved to a weaker model, each as dear as the call itself."""
    extra = np.zeros(len(traffic))
    moved = (model_of != traffic.model) & ~served
    for row in reversed(strategy.rework):  # the first row that fits decides
        of_model = [_fits(row.model, name) for _, name in models]
        of_task = [_fits(row.task, name) for name in traffic.tasks] or [False]
        extra[moved & np.array(of_model)[model_of] & np.array(of_task)[traffic.task]] = row.at(bound)
    known = cost != vocabulary.UNPRICED
    return np.where(known, np.rint(np.where(known, cost, 0) * extra).astype(np.int64), vocabulary.UNPRICED)


def _fits(pattern: str | None, value: str | None) -> bool:
    return pattern is None or (value is not None and fnmatchcase(value.lower(), pattern.lower()))
