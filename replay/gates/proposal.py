"""Gates on a change that is being proposed: a strategy, or changed prompts, replayed over the traffic of the log.

What is dearer than the limit at the middle of every assumption fails; what is cheaper there and dearer at the far end
cannot be said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from analysis.formatting import count, money, share
from analysis.gates.result import GateResult
from analysis.gates.settings import Settings
from ingest.store.database import Store
from replay.advice.result_in_words import verdict
from replay.engine.engine import Engine
from replay.engine.latency_load import loads, reaching
from replay.engine.run import Replay, StrategyResult, mean_per_day, run
from replay.gates.prompt_effects import PromptEffect, effects
from replay.outcomes import COALESCED, HIT
from replay.strategy.schema import Strategy

P95 = 0.95
LEAST_TIMED = 20  # answers of a model to a task, below which its answers to all tasks tell how long it takes


@dataclass(frozen=True)
class Proposal:
    """The gates on a change, what it does to each prompt, and the replay behind them."""

    gates: tuple[GateResult, ...]
    prompts: tuple[PromptEffect, ...]
    replay: Replay


def propose(
    store: Store,
    settings: Settings,
    strategy: Strategy,
    baseline: Strategy | None = None,
    *,
    since: date | None = None,
    until: date | None = None,
    done: Callable[[str], None] | None = None,
) -> Proposal:
    """Replay the change, and the baseline where it is not what was logged, over inclusive UTC days."""
    chosen = [strategy, *([baseline] if baseline else [])]
    engines: list[Engine] = []
    found = run(store, chosen, since=since, until=until, done=done, inspect=engines.append)
    result, other = found.strategies[0], found.strategies[1] if baseline else None
    prompts = tuple(effects(engines[0], found.whole_days)) if strategy.prompts else ()
    gates = [_dollars(settings, result, other, prompts), _quality(settings, strategy, result)]
    if settings.hit_rate is not None and (strategy.cache or (baseline and baseline.cache)):
        gates.append(_hit_rate(settings.hit_rate, result))
    if settings.latency_p95_ms is not None:
        gates.append(_latency(settings.latency_p95_ms, engines[0]))
    gates += [_found(effect) for effect in prompts if not effect.calls]
    return Proposal(tuple(gates), prompts, found)


def _dollars(
    settings: Settings, result: StrategyResult, other: StrategyResult | None, prompts: tuple[PromptEffect, ...]
) -> GateResult:
    """Dollars a day against the limit: of the settings, else the baseline's with what it may rise by."""
    name, unit = "dollars a day", "usd_per_day"
    usual = result.logged_per_day() if other is None else other.per_day()
    against = "as logged" if other is None else f"with {other.name}"
    limit = settings.usd_per_day
    if limit is None and usual is not None:
        limit = usual * (1 + settings.dearer_share)
    cost = result.per_day()
    if cost is None or usual is None or limit is None:
        return GateResult(name, None, None, limit, unit, f"No call has a price {against} and under {result.name}.",
                          "hindcast cost --by cost_status")  # fmt: skip
    change = f" ({share(float(cost / usual - 1), sign=True)})" if usual else ""
    text = f"{money(cost)} a day with {result.name} instead of {money(usual)} {against}{change}"
    text += f", limit {money(limit)}" if limit != usual else ""
    lost = max(result.newly_unpriced, other.newly_unpriced if other else 0)
    if lost:
        return GateResult(name, None, cost, limit, unit,
                          f"{text}, but {count(lost, 'call')} would ask a model without a price.",
                          "hindcast prices set MODEL --input USD --output USD")  # fmt: skip
    if prompts and not any(effect.calls for effect in prompts) and len(result.savings_pico) == 1:
        return GateResult(
            name, None, cost, limit, unit, "No call of the log uses a changed prompt, so nothing is known."
        )
    if cost > limit:
        return GateResult(
            name, False, cost, limit, unit, f"{text}.", "Every stage and what is assumed: hindcast replay STRATEGY"
        )
    dearest = _dearest(result)
    if dearest > limit:
        return GateResult(name, None, cost, limit, unit,
                          f"{text}, but up to {money(dearest)} at the far end of what is assumed.",
                          "Every stage and what is assumed: hindcast replay STRATEGY")  # fmt: skip
    return GateResult(name, True, cost, limit, unit, f"{text}.")


def _dearest(result: StrategyResult) -> Decimal:
    """Dollars a day at the dearer end of every assumption."""
    costs = {row.day: row.cost_pico if row.high_pico is None else row.high_pico for row in result.daily}
    return mean_per_day(costs, result.whole_days) or Decimal(0)


def _quality(settings: Settings, strategy: Strategy, result: StrategyResult) -> GateResult:
    floor = Decimal(str(strategy.quality.floor))
    low, said = result.quality["lower_90"], result.quality["verdict"]
    measured = None if low is None or said == "unknown" else Decimal(str(round(low, 6)))
    if settings.quality_floor is not None and measured is not None and settings.quality_floor > floor:
        floor = settings.quality_floor
        said = "passes" if measured >= floor else "fails"
    if said == "unknown":
        unknown = result.quality.get("unknown_share")
        part = f" of {share(unknown)} of the demand" if isinstance(unknown, float) else ""
        return GateResult("quality", None, None, floor, "score", f"The log has no scores that tell the quality{part}.",
                          "Scores of a few calls would tell: docs/quality.md")  # fmt: skip
    if said == "no effect":
        return GateResult("quality", True, measured, floor, "score", "No call is changed: the quality is today's.")
    text = f"{verdict(result)}: lower 90 % bound {measured} of today's quality, floor {floor}."
    return GateResult("quality", said != "fails", measured, floor, "score", text[:1].upper() + text[1:])


def _hit_rate(limit: Decimal, result: StrategyResult) -> GateResult:
    if result.hit_rate is None:
        return GateResult("hit rate", None, None, limit, "share", "No call of the window asks anew.")
    measured = Decimal(str(round(result.hit_rate, 6)))
    text = (
        f"{share(result.hit_rate)} of {count(result.demand, 'call')} answered by a cache, limit {share(float(limit))}."
    )
    return GateResult("hit rate", measured >= limit, measured, limit, "share", text)


def _latency(limit: Decimal, engine: Engine) -> GateResult:
    """The 95th percentile of answers' durations under the strategy.

    A call that keeps its model takes as long as logged, one that a cache of ours answers takes no time, a moved one is
    as likely to take any duration that the log shows of its new model on its task.
    """
    traffic, outcome = engine.traffic, engine.evaluate(engine.everything)
    duration = (traffic.end_ms - traffic.start_ms).astype(np.float64)
    inside = traffic.window & traffic.demand & ~traffic.failed
    timed = inside & (duration > 0)
    values, weights = [], []
    served = inside & (outcome.codes >= HIT) & (outcome.codes <= COALESCED)
    values.append(np.zeros(int(served.sum())))
    kept = timed & ~served & (outcome.model == traffic.model)
    values.append(duration[kept])
    weights += [np.ones(len(part)) for part in values]
    moved = inside & ~served & (outcome.model != traffic.model)
    pairs, calls = np.unique(np.stack([outcome.model[moved], traffic.task[moved]]), axis=1, return_counts=True)
    for (model, task), number in zip(pairs.T.tolist(), calls.tolist(), strict=True):
        mine = timed & (traffic.model == model)
        own = mine & (traffic.task == task)
        shown = duration[own if int(own.sum()) >= LEAST_TIMED else mine]
        if not len(shown):
            named = engine.models[model][1] or "a model without a name"
            lacking = f"No durations of {named} are logged, to which {count(number, 'call')} would move."
            return GateResult("latency p95", None, None, limit, "ms", lacking)
        values.append(shown)
        weights.append(np.full(len(shown), number / len(shown)))
    crowded = [load.words for load in loads(engine, reaching(engine, outcome)) if load.rises] if len(pairs.T) else []
    if crowded:
        lacking = f"Not known at another load: {'; '.join(crowded)}."
        return GateResult("latency p95", None, None, limit, "ms", lacking)
    found, weight = np.concatenate(values), np.concatenate(weights)
    if not (found > 0).any():
        return GateResult("latency p95", None, None, limit, "ms", "No call of the log has a duration.")
    order = np.argsort(found, kind="stable")
    running = np.cumsum(weight[order])
    measured = Decimal(str(round(float(found[order][np.searchsorted(running, P95 * running[-1])]), 3)))
    text = f"95 % of the answers would take at most {measured:,.0f} ms, limit {limit:,.0f} ms."
    return GateResult("latency p95", measured <= limit, measured, limit, "ms", text)


def _found(effect: PromptEffect) -> GateResult:
    """That no call uses the old text of a change, with what comes nearest to it."""
    return GateResult(f"prompt {effect.change.label}", None, Decimal(0), None, "calls", effect.not_found)
