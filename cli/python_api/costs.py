"""`hindcast.calls`, `hindcast.ledger` and `hindcast.cost`: what the calls are and what they cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import Day, StoreLike, Where, as_day, as_names, as_store, as_where, as_window
from cli.python_api.result import Result
from ingest.errors import InputError
from ingest.store import database

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from analysis.ledger.ledger import LedgerSummary
    from analysis.reports import calls as listing
    from analysis.reports import cost as costs


@dataclass(frozen=True, repr=False)
class CallList(Result):
    """The first calls in the asked order, and the total of all that match."""

    report: listing.CallList
    requested_days: tuple[date | None, date | None] = (None, None)

    shown = ("call_no", "start_time", "agent", "task", "model", "output_tokens", "cost_usd")

    @property
    def summary(self) -> str:
        return self.report.summary

    def document(self) -> dict[str, Any]:
        return self.report.to_json()

    def to_frame(self) -> pl.DataFrame:
        """One row per listed call.

        Columns: `call_no` Int64; `start_time` Datetime, UTC; `provider_name`, `model`, `agent`, `task`,
        `conversation_id`, `status`, `finish_reason` String; `input_tokens`, `cache_read_input_tokens`,
        `output_tokens`, `reasoning_output_tokens` Int64; `duration_ms` Float64; `cost_usd` Decimal(38, 12), dollars;
        `cost_status` String; `weight` Decimal(38, 12), calls that the row stands for; `content_state` String;
        `source_id`, `source_row` Int64; `source` String, the path of the log.
        """
        import polars as pl

        from analysis.reports.calls import COLUMNS
        from cli.python_api.frames import USD, frame

        counts = ("call_no", "source_id", "source_row")
        dtypes = {
            name: USD if name in ("cost_usd", "weight")
            else pl.Int64() if name in counts or name.endswith("_tokens")
            else pl.Datetime("us") if name == "start_time"
            else pl.Float64() if name == "duration_ms"
            else pl.String()
            for name in (*COLUMNS, "source")
        }  # fmt: skip
        return frame(self.report.rows, dtypes)


@dataclass(frozen=True, repr=False)
class Ledger(Result):
    """The ledger of a store: what every call costs, and how many have no price."""

    totals: LedgerSummary
    store: database.Store

    shown = ("call_no", "cost_status", "uncached_input_usd", "cache_read_usd", "output_usd", "other_usd", "cost_usd")

    @property
    def summary(self) -> str:
        from analysis.formatting import count, money

        unpriced = self.totals.unpriced_calls
        without = f", {count(unpriced, 'call')} without a price" if unpriced else ""
        return f"{count(self.totals.calls, 'call')}, {money(self.totals.cost_usd)}{without}."

    @property
    def cost(self) -> Decimal | None:
        """Dollars of all priced calls; None where nothing is priced."""
        return self.totals.cost_usd

    def document(self) -> dict[str, Any]:
        return self.totals.to_json()

    def to_frame(self) -> pl.DataFrame:
        """One row per call, the columns of `Store.ledger()`."""
        from cli.python_api.store import Store

        return Store(self.store.address).ledger()


@dataclass(frozen=True, repr=False)
class CostReport(Result):
    """Cost by the asked dimensions. `total` holds the sums: dollars are Decimal."""

    report: costs.CostReport
    requested_days: tuple[date | None, date | None] = (None, None)

    @property
    def total(self) -> dict[str, Any]:
        """The whole bill."""
        return dict(self.report.total)

    @property
    def cost(self) -> Decimal | None:
        """Dollars of all priced calls; None where nothing is priced."""
        found: Decimal | None = self.report.total["cost_usd"]
        return found

    @property
    def summary(self) -> str:
        return self.report.summary

    @property
    def shown(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.report.by, "calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls")

    def document(self) -> dict[str, Any]:
        return self.report.to_json()

    def to_frame(self) -> pl.DataFrame:
        """One row per combination of the dimensions, in the order of the command.

        Columns: the dimensions (`day` and `week` Date, `hour` Datetime, others String); Int64: `calls`,
        `input_tokens`, `cache_read_input_tokens`, `cache_creation_input_tokens`, `output_tokens`,
        `reasoning_output_tokens`, `unpriced_calls`, `unpriced_tokens`, `fallback_calls`, `estimated_calls`; dollars
        as Decimal(38, 12): `cost_usd` by the price book, `logged_cost_usd` by the log, and with `components=True`
        their split. Null is not known.
        """
        import polars as pl

        from cli.python_api.frames import USD, frame

        rows = self.report.rows
        measures = [name for name in self.report.total if name not in self.report.by]
        dtypes = {name: USD if name.endswith("_usd") else pl.Int64() for name in measures}
        return frame(rows, {**dict.fromkeys(self.report.by), **dtypes})

    def plot(self) -> go.Figure:
        """Cost per day as stacked bars of the first dimension beside `day`.

        Raises InputError where the report is not by day.
        """
        from dashboard.documents import document_views
        from dashboard.render import daily_charts, palette

        if "day" not in self.report.by:
            raise InputError("a picture of the cost is by day", remedy='Ask for it: cost(store, by=["day", "agent"])')
        dimension = next((name for name in self.report.by if name != "day"), None)
        document = self.report.to_json()
        if dimension is None:
            dimension = "calls of the day"
            document["rows"] = [{**row, dimension: "all calls"} for row in document["rows"]]
        sums: dict[str, Decimal] = {}
        for row in document["rows"]:
            name = document_views.label(row[dimension])
            sums[name] = sums.get(name, Decimal(0)) + document_views.amount(row["cost_usd"])
        colours = palette.assign(sorted(sums, key=lambda name: (-sums[name], name)))
        drawn = document_views.by_week(document_views.trajectory(document, dimension, colours))
        unit = "USD per week" if drawn.weekly else "USD per day"
        return daily_charts.trajectory(drawn.days, drawn.stacks, colours, unit=unit)


def calls(
    store: StoreLike,
    *,
    where: Where = None,
    since: Day = None,
    until: Day = None,
    order: str = "cost",
    limit: int = 20,
) -> CallList:
    """The calls behind a figure, dearest first; `Store.calls()` has all of them with all columns.

    Parameters:
        store: a Store or its path.
        where: values of dimensions, `{"agent": "drafting_agent"}` or `["agent=drafting_agent"]`; None: without one.
        since, until: first and last day, a date or `"2024-03-05"`.
        order: cost, time, tokens or duration.
        limit: how many to list.

    Returns: a CallList, the document of `hindcast calls --json`.

    Raises: StoreError where there is no store; InputError for an unknown dimension or order.

    Example: hindcast.calls(store, where={"agent": "drafting_agent"}, since="2024-03-05").to_frame()
    """
    from analysis.reports import calls as listing

    first, last = as_window(since, until)
    report = listing.calls(as_store(store), as_where(where), since=first, until=last, order=order, limit=limit)
    return CallList(report, (first, last))


def ledger(store: StoreLike, *, rebuild: bool = False) -> Ledger:
    """What every call costs. Calls without an entry are priced first.

    Parameters:
        store: a Store or its path.
        rebuild: price all calls anew, with today's price book and your overrides.

    Returns: a Ledger, the document of `hindcast reprice --json`; `.to_frame()` has a row per call.

    Raises: StoreError where there is no store or it cannot be written.

    Example: hindcast.ledger("calls.duckdb").to_frame()
    """
    from analysis.ledger.update import update

    target = as_store(store)
    with target.read():  # a clear error where there is no store
        pass
    return Ledger(update(target, rebuild=rebuild), target)


def cost(
    store: StoreLike,
    by: str | Iterable[str] = ("day", "model"),
    *,
    since: Day = None,
    until: Day = None,
    where: Where = None,
    components: bool = False,
    prices_of: Day = None,
) -> CostReport:
    """What the calls cost, by any dimension, beside the cost that the log itself states.

    Parameters:
        store: a Store or its path.
        by: dimensions, such as `["day", "agent"]`: day, week, month, hour, agent, task, model, provider, tier, ...
        since, until: first and last day, a date or `"2024-03-05"`.
        where: values of dimensions, as of `calls`.
        components: split the cost into uncached input, cache reads and writes, output, reasoning and other.
        prices_of: price every call as on this day.

    Returns: a CostReport, the document of `hindcast cost --json`.

    Raises: StoreError where there is no store; InputError for an unknown dimension or where nothing is priced yet.

    Example: hindcast.cost(store, by=["day", "agent"]).to_frame()
    """
    from analysis.reports.cost import cost as report_cost

    first, last = as_window(since, until)
    report = report_cost(
        as_store(store), as_names(by), first, last, as_where(where), components=components, prices_of=as_day(prices_of)
    )
    return CostReport(report, (first, last))
