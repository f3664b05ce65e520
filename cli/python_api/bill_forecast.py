"""`hindcast.forecast`: the bill to come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import StoreLike, as_store
from cli.python_api.result import Result
from ingest.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from ingest.store import database
    from replay.scenario.outcome import Outcome


@dataclass(frozen=True, repr=False)
class Forecast(Result):
    """The bill of this month, the next month and the next quarter, and what a scenario makes of it."""

    outcome: Outcome

    @property
    def summary(self) -> str:
        return " ".join((self.outcome.forecast.summary, *self.outcome.sentences()))

    def document(self) -> dict[str, Any]:
        return self.outcome.to_json()

    def to_frame(self) -> pl.DataFrame:
        """One row per period.

        Columns: `name` String, `first`, `last` Date; dollars as Decimal(38, 12): `spent_usd` so far, `expected_usd`,
        `low_usd`, `high_usd` of the whole period, the ends of the 80 % range.
        """
        import polars as pl

        from cli.python_api.frames import USD, frame

        dollars = ("spent", "expected", "low", "high")
        rows = [
            {"name": one.name, "first": one.first, "last": one.last}
            | {f"{name}_usd": getattr(one, name) for name in dollars}
            for one in self.outcome.forecast.periods
        ]
        columns = {"name": pl.String(), "first": pl.Date(), "last": pl.Date()}
        return frame(rows, {**columns, **{f"{name}_usd": USD for name in dollars}})


def forecast(
    store: StoreLike,
    *,
    growth: str | None = None,
    scenario: str | Path | None = None,
    models: str | Iterable[str] = (),
) -> Forecast:
    """Forecast the bill of the month under way, the next month and the next quarter, with 80 % ranges.

    Parameters:
        store: a Store or its path.
        growth: of requests, instead of the fitted growth: "5%/month", "none".
        scenario: a YAML file with growth, prices, models, throughput, batch and seats (docs/forecast.md).
        models: models that workloads could move to.

    Returns: a Forecast, the document of `hindcast forecast --json`.

    Raises: StoreError where there is no store; InputError where the log covers no whole day with a price, or for a
    growth that cannot be read; StrategyError for a mistake in the file.

    Example: hindcast.forecast(store, growth="5%/month").to_frame()
    """
    named = (models,) if isinstance(models, str) else tuple(models)
    return Forecast(worked_out(as_store(store), growth=growth, scenario=scenario, models=named))


def worked_out(
    store: database.Store, *, growth: str | None, scenario: str | Path | None, models: Sequence[str]
) -> Outcome:
    """The scenario of a file with the growth and models that are named beside it, on the calls of a store."""
    from analysis.forecast.growth import growth_per_day
    from replay.scenario.outcome import work_out
    from replay.scenario.schema import NewModel, Scenario, load

    asked = load(scenario) if scenario is not None else Scenario()
    if growth is not None:
        growth_per_day(growth)
        if asked.growth is not None:
            raise InputError("growth is stated twice", remedy=f"Leave it out of {scenario}, or of the call.")
        asked = asked.model_copy(update={"growth": growth})
    if models:
        asked = asked.model_copy(update={"models": (*asked.models, *(NewModel(model=name) for name in models))})
    return work_out(store, asked)
