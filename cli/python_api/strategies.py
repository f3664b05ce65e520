"""`hindcast.replay`: what the logged traffic would have cost under other strategies, down to the single call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import Day, StoreLike, StrategyLike, as_store, as_strategies, as_window
from cli.python_api.result import Result
from ingest.errors import InputError, did_you_mean
from ingest.store import database
from replay.strategy.schema import Strategy

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from replay.engine import run


@dataclass(frozen=True)
class _Window:
    """What was replayed."""

    store: database.Store
    since: date | None
    until: date | None
    cold: bool


@dataclass(frozen=True, repr=False)
class StrategyResult(Result):
    """What one strategy would have cost over the window. Dollars are Decimal; None where nothing has a price."""

    result: run.StrategyResult
    strategy: Strategy
    window: _Window

    shown = ("day", "logged_cost_usd", "cost_usd", "calls", "hits")

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.result.name

    @property
    def run_id(self) -> str:
        """The same data, prices and strategy give the same id and the same result."""
        return self.result.run_id

    @property
    def cost(self) -> Decimal | None:
        """Dollars over the window, of the calls that have a price on both sides."""
        return self._usd(self.result.cost_pico)

    @property
    def cost_range(self) -> tuple[Decimal | None, Decimal | None]:
        """The cost at either end of every assumption."""
        return self._usd(self.result.low_pico), self._usd(self.result.high_pico)

    @property
    def baseline(self) -> Decimal | None:
        """What the same calls cost as logged."""
        return self._usd(self.result.baseline_pico)

    @property
    def saved_share(self) -> float | None:
        """Savings as a share of the baseline; None where dollars are refused."""
        return self.result.saved_share

    @property
    def hit_rate(self) -> float | None:
        """Share of the calls asked for that a cache tier of the strategy answers."""
        return self.result.hit_rate

    @property
    def savings(self) -> dict[str, Decimal | None]:
        """Dollars saved by stage; they sum to `baseline - cost`."""
        return {stage: self._usd(amount) for stage, amount in self.result.savings_pico.items()}

    @property
    def quality(self) -> dict[str, Any]:
        """Verdict (passes, fails, unknown), floor, mean ratio to the logged quality and its 90 % lower bound."""
        return dict(self.result.quality)

    @property
    def limits(self) -> tuple[str, ...]:
        """What was assumed or left out, in sentences."""
        return self.result.limits

    @property
    def summary(self) -> str:
        from replay.advice.result_in_words import sentence

        return sentence(self.result)

    def document(self) -> dict[str, Any]:
        return self.result.to_json()

    def to_frame(self) -> pl.DataFrame:
        """As `daily`."""
        return self.daily()

    def daily(self) -> pl.DataFrame:
        """One row per day of the window.

        Columns: `day` Date; `calls` Int64, all of the day; `hits` Int64, answered by the strategy's cache; dollars as
        Decimal(38, 12): `cost_usd` and its range `cost_low_usd` to `cost_high_usd`, `logged_cost_usd` of the same
        calls. Null where no call of the day has a price.
        """
        return _daily(self.result.daily, self.result.logged_daily_pico)

    def calls(self) -> pl.DataFrame:
        """One row per call of the window: which would move, and at what cost. The strategy is evaluated once more.

        Columns: `call_no` Int64, joins `Store.calls()`; `start_time` Datetime, UTC; `agent`, `task` String;
        `logged_provider`, `logged_model`, `logged_tier` String, as logged; `provider`, `model`, `tier` String, under
        the strategy; `moved` Boolean, whether provider, model or tier is another; `outcome` String at the strategy's
        cache: miss, hit, coalesced (waited for an equal call in flight), expired or bypassed (not looked up);
        `cache_tier` String, the tier that answers; `logged_input_tokens`, `logged_cached_tokens`,
        `logged_output_tokens`, `input_tokens`, `cached_tokens`, `output_tokens` Int64 as logged and under the
        strategy; dollars as Decimal(38, 12): `logged_cost_usd`, `cost_usd`, their difference `saved_usd`, and
        `side_cost_usd`, the part of `cost_usd` that routing itself costs; `weight` Float64, calls that the row stands
        for. Dollars are null where a call has no price on both sides, so `cost_usd` sums to `cost` and
        `logged_cost_usd` to `baseline`.
        """
        import polars as pl

        from cli.python_api.frames import USD
        from replay.engine.call_frame import replay_calls

        window = self.window
        frame = replay_calls(window.store, self.strategy, since=window.since, until=window.until, cold=window.cold)
        kept = [pl.col(name).eq_missing(pl.col(f"logged_{name}")) for name in ("provider", "model", "tier")]
        saved = (pl.col("logged_cost_usd") - pl.col("cost_usd")).cast(USD).alias("saved_usd")
        return frame.with_columns(pl.all_horizontal(kept).not_().alias("moved"), saved)

    def plot(self) -> go.Figure:
        """Where the saving comes from: a waterfall from the logged cost over the stages to the cost.

        Raises InputError where the strategy declares no stage, or nothing has a price.
        """
        from dashboard.documents import document_views
        from dashboard.render import daily_charts

        if not self.result.savings_pico or not self.result.priced_calls:
            raise InputError(f"'{self.name}' has no saving to take apart", remedy="Declare a stage, such as route.")
        return daily_charts.waterfall(document_views.savings_steps(self.result))

    def _usd(self, pico: int) -> Decimal | None:
        from analysis.money import dollars

        return dollars(pico) if self.result.priced_calls else None


@dataclass(frozen=True, repr=False)
class Replay(Result):
    """All strategies over one window, beside what was logged: `replay["name"]` or `replay[0]` is one of them."""

    replay: run.Replay
    chosen: tuple[Strategy, ...]
    window: _Window

    shown = ("name", "usd_per_day", "saved_share", "hit_rate", "verdict", "quality_lower_90")

    @property
    def requested_days(self) -> tuple[date | None, date | None]:  # type: ignore[override]
        """First and last day that were asked for; None where not limited."""
        return self.window.since, self.window.until

    def __getitem__(self, name: str | int) -> StrategyResult:
        names = [result.name for result in self.replay.strategies]
        if isinstance(name, str) and name not in names:
            raise InputError(f"no strategy '{name}' was replayed", remedy=did_you_mean(name, names))
        place = names.index(name) if isinstance(name, str) else name
        return StrategyResult(self.replay.strategies[place], self.chosen[place], self.window)

    def __iter__(self) -> Iterator[StrategyResult]:
        return (self[place] for place in range(len(self)))

    def __len__(self) -> int:
        return len(self.replay.strategies)

    @property
    def baseline(self) -> Decimal | None:
        """Dollars as logged, of the calls that have a price; None where none has."""
        from analysis.money import dollars

        return None if self.replay.baseline_pico is None else dollars(self.replay.baseline_pico)

    @property
    def best(self) -> StrategyResult | None:
        """The cheapest strategy that passes its quality floor; if none passes, the cheapest of all."""
        from replay.advice import recommend

        best = recommend.recommended(self.replay.strategies)
        return None if best is None else self[self.replay.strategies.index(best)]

    @property
    def summary(self) -> str:
        if not self.replay.daily:
            return "No calls with a time in this window: nothing to replay."
        return "" if self.best is None else self.best.summary

    def document(self) -> dict[str, Any]:
        return self.replay.to_json()

    def to_frame(self) -> pl.DataFrame:
        """One row per strategy, in the order given.

        Columns: `name`, `run_id` String; dollars as Decimal(38, 12): `usd_per_day` and `baseline_usd_per_day` over
        the complete days, `cost_usd` with its range `cost_low_usd` to `cost_high_usd` and `baseline_cost_usd` over
        the window; Float64: `saved_share`, `hit_rate`, `quality_mean`, `quality_lower_90` and `quality_floor` as
        ratios to the logged quality; `verdict` String: passes, fails or unknown; Int64: `demand_calls`, `hits`,
        `coalesced`, `unpriced_calls`, `newly_unpriced_calls`. Null is not known.
        """
        return strategy_rows(self.replay)

    def daily(self) -> pl.DataFrame:
        """What was logged, one row per day: `day` Date, `calls` Int64, `cost_usd` Decimal(38, 12)."""
        return _daily(self.replay.daily, None).select("day", "calls", "cost_usd")

    def plot(self) -> go.Figure:
        """Dollars per day as logged and under every strategy; dashed where quality does not pass."""
        from analysis.money import dollars
        from dashboard.documents import strategy_tables
        from dashboard.render import daily_charts

        costs = {row.day: dollars(row.cost_pico) for row in self.replay.daily}
        colours = strategy_tables.strategy_colours(self.replay)
        return daily_charts.comparison(
            strategy_tables.trajectories(costs, self.replay.whole_days, self.replay, colours)
        )


def strategy_rows(found: run.Replay) -> pl.DataFrame:
    """As `Replay.to_frame`."""
    import polars as pl

    from cli.python_api.frames import USD, frame

    amounts = ("usd_per_day", "baseline_usd_per_day", "cost_usd", "cost_low_usd", "cost_high_usd",
               "baseline_cost_usd")  # fmt: skip
    counts = ("demand_calls", "hits", "coalesced", "unpriced_calls", "newly_unpriced_calls")
    rows = []
    for result in found.strategies:
        entry = result.to_json()
        for name in amounts:
            entry[name] = None if entry[name] is None else Decimal(entry[name])
        quality = entry["quality"]
        entry |= {"verdict": quality["verdict"], "quality_mean": quality["mean_ratio"],
                  "quality_lower_90": quality["lower_90"], "quality_floor": quality.get("floor")}  # fmt: skip
        rows.append(entry)
    ratios = ("saved_share", "hit_rate", "quality_mean", "quality_lower_90", "quality_floor")
    columns = {"name": pl.String(), **dict.fromkeys(amounts, USD), **dict.fromkeys(ratios, pl.Float64()),
               "verdict": pl.String(), **dict.fromkeys(counts, pl.Int64()), "run_id": pl.String()}  # fmt: skip
    return frame(rows, columns)


def replay(
    store: StoreLike,
    strategies: StrategyLike | Iterable[StrategyLike],
    *,
    since: Day = None,
    until: Day = None,
    cold: bool = False,
    scores: str | Path | None = None,
) -> Replay:
    """Replay the logged traffic through strategies: cost, hit rate, savings by stage, quality verdict.

    Parameters:
        store: a Store or its path.
        strategies: one or several: a Strategy, the path of a YAML file, or its content as a mapping.
        since, until: first and last day, a date or `"2024-03-05"`.
        cold: start with empty caches; by default the calls before `since` warm them.
        scores: a table (CSV or YAML) of your own quality scores: task, model, quality, n.

    Returns: a Replay, the document of `hindcast replay --json`.

    Raises: StoreError where there is no store; StrategyError for a strategy that does not say what it means;
    InputError where nothing is priced yet.

    Example: hindcast.replay(store, ["routed.yaml", {"name": "mini", "route": [{"default": "gpt-4o-mini"}]}])["mini"]
    """
    from replay.engine.run import run
    from replay.quality.scores import load_priors

    chosen = as_strategies(strategies)
    first, last = as_window(since, until)
    target = as_store(store)
    priors = load_priors(Path(scores)) if scores else None
    found = run(target, chosen, since=first, until=last, cold=cold, scores=priors, timed=True)
    return Replay(found, tuple(chosen), _Window(target, first, last, cold))


def _daily(days: Iterable[run.Day], logged: dict[date, int] | None) -> pl.DataFrame:
    import polars as pl

    from analysis.money import dollars
    from cli.python_api.frames import USD, frame

    rows = [
        {
            "day": row.day,
            "calls": row.calls,
            "hits": row.hits,
            "logged_cost_usd": dollars(logged[row.day]) if logged and row.priced and row.day in logged else None,
            "cost_usd": dollars(row.cost_pico) if row.priced else None,
            "cost_low_usd": dollars(row.low_pico) if row.priced and row.low_pico is not None else None,
            "cost_high_usd": dollars(row.high_pico) if row.priced and row.high_pico is not None else None,
        }
        for row in days
    ]
    amounts = ("logged_cost_usd", "cost_usd", "cost_low_usd", "cost_high_usd")
    return frame(rows, {"day": pl.Date(), "calls": pl.Int64(), "hits": pl.Int64(), **dict.fromkeys(amounts, USD)})
