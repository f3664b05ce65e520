"""`hindcast.backtest`, `hindcast.optimize` and `hindcast.verify`: strategies chosen and tested on held-out days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import (
    Day,
    StoreLike,
    StrategyLike,
    Where,
    as_day,
    as_names,
    as_store,
    as_strategy,
    as_where,
    as_window,
)
from cli.python_api.result import Result
from ingest.errors import InputError
from replay.strategy.schema import Strategy

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from replay.evaluation import backtest as held_out
    from replay.evaluation import verification
    from replay.optimize import optimum


@dataclass(frozen=True, repr=False)
class Backtest(Result):
    """The forecast of a strategy for held-out days beside what it would have cost there. Dollars are Decimal."""

    result: held_out.Backtest
    strategy: Strategy
    requested_days: tuple[date | None, date | None] = (None, None)

    @property
    def forecast(self) -> Decimal:
        """The forecast of the days that were held out, or of those after the rollout."""
        return _usd(self.result.forecast_pico)

    @property
    def interval(self) -> tuple[Decimal, Decimal]:
        """The 90 % interval of the forecast."""
        return _usd(self.result.low_pico), _usd(self.result.high_pico)

    @property
    def realised(self) -> Decimal:
        """What they cost."""
        return _usd(self.result.realised_pico)

    @property
    def inside(self) -> bool:
        """Whether the realised cost is in the interval."""
        return self.result.inside

    @property
    def summary(self) -> str:
        return self.result.summary

    def document(self) -> dict[str, Any]:
        return {**self.result.to_json(), "strategy": self.strategy.document()}

    def to_frame(self) -> pl.DataFrame:
        """One row per held-out day.

        Columns: `day` Date; dollars as Decimal(38, 12): `logged_usd`, `forecast_usd`, `realised_usd`.
        """
        import polars as pl

        from cli.python_api.frames import USD, frame

        rows = [
            {"day": day, "logged_usd": _usd(logged), "forecast_usd": _usd(forecast), "realised_usd": _usd(realised)}
            for day, logged, forecast, realised in self.result.daily
        ]
        return frame(rows, {"day": pl.Date(), "logged_usd": USD, "forecast_usd": USD, "realised_usd": USD})


@dataclass(frozen=True, repr=False)
class Verification(Result):
    """After a rollout: the forecast from the days before it beside the bill after it. Dollars are Decimal."""

    result: verification.Verification
    requested_days: tuple[date | None, date | None] = (None, None)

    @property
    def forecast(self) -> Decimal:
        """The forecast of the days that were held out, or of those after the rollout."""
        return _usd(self.result.forecast_pico)

    @property
    def interval(self) -> tuple[Decimal, Decimal]:
        """The 90 % interval of the forecast."""
        return _usd(self.result.low_pico), _usd(self.result.high_pico)

    @property
    def realised(self) -> Decimal:
        """What they cost."""
        return _usd(self.result.realised_pico)

    @property
    def inside(self) -> bool | None:
        """Whether the bill is in the interval; None where the two cannot be compared."""
        return self.result.inside

    @property
    def summary(self) -> str:
        return self.result.summary

    @property
    def rebound(self) -> str | None:
        """What a unit takes more of than without the rollout, `calls` or `answer tokens`; None without a rebound."""
        found = self.result.effects.rebound
        return found.measure if found else None

    def document(self) -> dict[str, Any]:
        return self.result.to_json()

    def effects(self) -> pl.DataFrame:
        """One row per measure of what the rollout changed.

        Columns: `measure` String; `without`, `with` Float64, the mean per unit in the measure's scale (dollars for
        cost); `effect`, `effect_low`, `effect_high` Float64, their difference with its 95 % interval; `claimed`
        Boolean; `detectable` Float64, the smallest effect that would have been seen in 80 % of cases.
        """
        import polars as pl

        from cli.python_api.frames import frame

        numbers = ("without", "with", "effect", "effect_low", "effect_high")
        rows = [one.to_json() for one in self.result.effects.effects.values()]
        return frame(
            [{name: row[name] for name in ("measure", *numbers, "claimed", "detectable")} for row in rows],
            {
                "measure": pl.String(),
                **dict.fromkeys(numbers, pl.Float64()),
                "claimed": pl.Boolean(),
                "detectable": pl.Float64(),
            },
        )

    def to_frame(self) -> pl.DataFrame:
        """One row per drift, largest first; the amounts sum to realised minus forecast.

        Columns: `segment`, `cause` String; `amount_usd` Decimal(38, 12), dollars; `before`, `after` Float64, the
        figure that drifted.
        """
        import polars as pl

        from cli.python_api.frames import USD, frame

        rows = [{**vars(drift), "amount_usd": _usd(drift.amount_pico)} for drift in self.result.drifts]
        number = pl.Float64()
        return frame(
            rows,
            {"segment": pl.String(), "cause": pl.String(), "amount_usd": USD, "before": number, "after": number},
        )


@dataclass(frozen=True, repr=False)
class Optimum(Result):
    """The cheapest strategy that is shown to keep the quality floor. Dollars are Decimal, over the window."""

    found: optimum.Optimum
    requested_days: tuple[date | None, date | None] = (None, None)

    shown = ("agent", "task", "template", "model", "evidence")

    @property
    def strategy(self) -> Strategy:
        """The strategy that was found."""
        return self.found.strategy

    @property
    def cost(self) -> Decimal:
        """What it costs over the window."""
        return _usd(self.found.cost_pico)

    @property
    def baseline(self) -> Decimal:
        """What was logged there."""
        return _usd(self.found.baseline_pico)

    @property
    def quality(self) -> dict[str, Any]:
        """Verdict, floor, mean ratio to the logged quality and its 90 % lower bound."""
        return self.found.report.to_json()

    @property
    def summary(self) -> str:
        return self.found.summary

    def document(self) -> dict[str, Any]:
        return self.found.to_json()

    def to_frame(self) -> pl.DataFrame:
        """The assignment, one row per group of calls.

        Columns: `agent`, `task`, `model` (`logged`: as it is), `evidence` String; `template` with `by_template`.
        """
        import polars as pl

        from cli.python_api.frames import frame

        rows = [
            {"agent": group.agent, "task": group.task, "template": group.template, "model": model, "evidence": evidence}
            for group, model, evidence in self.found.assignment
        ]
        split = any(group.by_template for group, _, _ in self.found.assignment)
        names = ("agent", "task", *(["template"] if split else []), "model", "evidence")
        return frame(rows, dict.fromkeys(names, pl.String()))

    def front(self) -> pl.DataFrame:
        """The policies between cost and quality, each a whole one.

        Columns: `knobs` String, what is in it; `cost_usd` Decimal(38, 12), dollars over the window; `quality_lower`
        Float64, the least quality as a ratio to the logged one.
        """
        import polars as pl

        from cli.python_api.frames import USD, frame

        rows = [{**vars(point), "cost_usd": _usd(point.cost_pico)} for point in self.found.front]
        return frame(rows, {"knobs": pl.String(), "cost_usd": USD, "quality_lower": pl.Float64()})

    def to_yaml(self) -> str:
        """The strategy as the text of a strategy file."""
        from replay.optimize.write_strategy import written

        return written(self.strategy)

    def plot(self) -> go.Figure:
        """The policies between cost and quality, with the chosen one and what was logged."""
        from dashboard.render import detail_charts

        return detail_charts.front(
            [(_usd(point.cost_pico), point.quality_lower, point.knobs) for point in self.found.front],
            chosen=(self.cost, self.found.report.lower_90 or 1.0),
            floor=self.found.report.floor,
            logged=self.baseline,
        )


def backtest(
    store: StoreLike,
    strategy: StrategyLike | None = None,
    *,
    split: date | str,
    quality_floor: float = 0.95,
    scores: str | Path | None = None,
    since: Day = None,
    until: Day = None,
) -> Backtest:
    """Choose or take a strategy on the days before `split`, and score it on the days from `split` on.

    Parameters:
        store: a Store or its path.
        strategy: a Strategy, the path of a YAML file or its content; by default the optimizer chooses one.
        split: the first day that is held out.
        quality_floor: the least quality, as a share of the logged one, where the optimizer chooses.
        scores: a table of your own quality scores: task, model, quality, n.
        since, until: first and last day.

    Returns: a Backtest, the document of `hindcast backtest --json`.

    Raises: InputError where either side of the split has no calls; StrategyError, StoreError.

    Example: hindcast.backtest(store, "combined.yaml", split="2024-03-08").inside
    """
    from replay.evaluation import backtest as held_out
    from replay.quality.scores import load_priors

    first, last = as_window(since, until)
    target, day, priors = as_store(store), _required_day(split, "split"), load_priors(Path(scores)) if scores else None
    if strategy is None:
        before = day - timedelta(days=1)
        chosen = optimize(target, quality_floor=quality_floor, scores=scores, since=first, until=before).strategy
    else:
        chosen = as_strategy(strategy)
    result = held_out.backtest(target, chosen, split=day, since=first, until=last, priors=priors)
    return Backtest(result, chosen, (first, last))


def verify(
    store: StoreLike,
    strategy: StrategyLike,
    *,
    rollout: date | str,
    unit: str | None = None,
    control: Where = None,
    since: Day = None,
    until: Day = None,
) -> Verification:
    """After a rollout: the forecast from the days before it beside the bill after it, and what drifted.

    Parameters:
        store: a Store or its path.
        strategy: the strategy that was rolled out: a Strategy, the path of a YAML file or its content.
        rollout: the first day under it.
        unit: what demand is counted in: conversation, trace, request, user, call or tag:KEY.
        control: a segment that the rollout did not touch, `{"agent": "search"}`.
        since, until: first and last day.

    Returns: a Verification, the document of `hindcast verify --json`.

    Raises: InputError where one of the two sides has no priced calls, for an unknown unit, and for a control that is
    nothing or everything; StrategyError, StoreError.

    Example: hindcast.verify(store, "combined.yaml", rollout="2024-03-20").to_frame()
    """
    from analysis.reports.filtered_store import filtered
    from replay.evaluation import verify as check

    first, last = as_window(since, until)
    day, whole = _required_day(rollout, "rollout"), as_store(store)
    untouched = filtered(whole, as_where(control)) if control else None
    result = check.verify(
        whole, as_strategy(strategy), rollout=day, since=first, until=last, unit=unit, control=untouched
    )
    return Verification(result, (first, last))


def optimize(
    store: StoreLike,
    *,
    quality_floor: float = 0.95,
    models: str | Iterable[str] | None = None,
    base: StrategyLike | None = None,
    scores: str | Path | None = None,
    task_floors: Mapping[str, float] | None = None,
    max_models: int | None = None,
    latency_p95_ms: float | None = None,
    by_template: bool = False,
    since: Day = None,
    until: Day = None,
    name: str = "optimized",
) -> Optimum:
    """Find the cheapest policy that keeps a quality floor: a model per task, with a cache and compression.

    Parameters:
        store: a Store or its path.
        quality_floor: the least quality, as a share of the logged one (0 to 2).
        models: the candidates; by default every logged model and every one with scores.
        base: a strategy whose cache and compression to try, too.
        scores: a table of your own quality scores: task, model, quality, n.
        task_floors: floors of single tasks, `{"draft": 0.98}`.
        max_models: at most so many models besides the logged ones.
        latency_p95_ms: leave out models slower than this, in milliseconds.
        by_template: tell the prompt templates of a task apart.
        since, until: first and last day.
        name: the name of the strategy.

    Returns: an Optimum, the document of `hindcast optimize --json`.

    Raises: InputError where there are no calls, or no policy is shown to keep the floor; StoreError.

    Example: hindcast.replay(store, hindcast.optimize(store, quality_floor=0.95).strategy)
    """
    from replay.optimize import search
    from replay.quality.scores import load_priors

    for label, floor in (("quality_floor", quality_floor), *(task_floors or {}).items()):
        if not 0 <= floor <= 2:
            raise InputError(
                f"{label} {floor:g} is not between 0 and 2", remedy="A floor is a share of the logged quality."
            )
    first, last = as_window(since, until)
    found = search.optimize(
        as_store(store),
        floor=quality_floor,
        models=as_names(models) if models is not None else None,
        since=first,
        until=last,
        base=as_strategy(base) if base is not None else None,
        per_task=dict(task_floors or {}),
        max_models=max_models,
        latency_p95_ms=latency_p95_ms,
        priors=load_priors(Path(scores)) if scores else None,
        name=name,
        by_template=by_template,
    )
    return Optimum(found, (first, last))


def _required_day(day: date | str, name: str) -> date:
    found = as_day(day)
    if found is None:
        raise InputError(f"{name} needs a day", remedy=f'As in: {name}="2024-03-08"')
    return found


def _usd(pico: int) -> Decimal:
    from analysis.money import dollars

    return dollars(pico)
