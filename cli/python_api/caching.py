"""`hindcast.cache_curve`: what a response cache would have done with the logged traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import Day, StoreLike, as_store, as_window
from cli.python_api.result import Result, Rows
from ingest.errors import InputError

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from replay.response_cache.curve_report import CurveReport


@dataclass(frozen=True, repr=False)
class CacheCurve(Result):
    """Hits and dollars of a shared cache by its time to live, by its capacity, and by what counts as the same request.

    Dollars are Decimal, over the window.
    """

    report: CurveReport
    requested_days: tuple[date | None, date | None] = (None, None)

    @property
    def asked(self) -> int:
        """Calls that were looked up."""
        return self.report.by_ttl.asked

    @property
    def cost(self) -> Decimal:
        """Dollars of the calls of the window."""
        from analysis.money import dollars

        return dollars(self.report.cost_pico)

    @property
    def summary(self) -> str:
        return self.report.summary

    def document(self) -> dict[str, Any]:
        return self.report.to_json()

    def to_frame(self) -> pl.DataFrame:
        """By time to live, one row per point.

        Columns: `ttl_ms` Int64, milliseconds to live; `hits` Int64, calls served; `hit_rate` Float64 of the calls
        looked up; `saved_usd` Decimal(38, 12), dollars over the window.
        """
        return self._frame("ttl", "ttl_ms")

    @property
    def capacity(self) -> Rows:
        """By capacity, without expiry.

        Columns of the frame: `entries` Int64; the others as of `to_frame`, with `hit_rate_error` Float64, one
        standard error, where the curve is estimated from a sample.
        """
        return Rows("By capacity (LRU)", self.to_dict()["capacity"], self._frame("capacity", "entries"))

    @property
    def keys(self) -> Rows:
        """By key policy, what counts as the same request; here answers take their logged durations.

        Columns of the frame: `name` String; `hits`, `hits_24h` Int64, without expiry and with 24 hours to live;
        `hit_rate` Float64; `saved_usd`, `saved_24h_usd` Decimal(38, 12), dollars over the window; Int64 counts
        `repeat_...` of how often repeats were answered alike.
        """
        import polars as pl

        from cli.python_api.frames import USD, frame

        rows = self.document()["keys"]
        names = rows[0] if rows else ("name", "hits", "hit_rate", "saved_usd", "hits_24h", "saved_24h_usd")
        dtypes = {
            name: pl.String() if name == "name" else USD if name.endswith("_usd")
            else pl.Float64() if name == "hit_rate" else pl.Int64()
            for name in names
        }  # fmt: skip
        shown = ("name", "hits", "hit_rate", "saved_usd", "hits_24h", "saved_24h_usd")
        return Rows("By key policy", rows, frame(map(_with_decimals, rows), dtypes), shown)

    def plot(self, by: str = "ttl") -> go.Figure:
        """Dollars saved a day by time to live, or with `by="capacity"` by entries.

        Raises InputError for any other `by`.
        """
        from dashboard.render import detail_charts
        from replay.response_cache.curve_report import duration_label

        if by not in ("ttl", "capacity"):
            raise InputError(f"there is no curve by '{by}'", remedy="Use ttl or capacity.")
        curve = self.report.by_ttl if by == "ttl" else self.report.by_capacity
        places = list(range(len(curve.at))) if by == "ttl" else self.report.capacities
        at = [int(curve.at[place]) for place in places]
        return detail_charts.curve(
            at,
            [int(curve.hits[place]) / max(curve.asked, 1) for place in places],
            [self.report.usd_per_day(int(curve.saved[place])) for place in places],
            [duration_label(value) if by == "ttl" else f"{value:,}" for value in at],
            x="time to live" if by == "ttl" else "entries",
        )

    def _frame(self, part: str, axis: str) -> pl.DataFrame:
        import polars as pl

        from cli.python_api.frames import USD, frame

        rows = self.document()[part]
        columns = {axis: pl.Int64(), "hits": pl.Int64(), "hit_rate": pl.Float64(), "saved_usd": USD}
        if rows and "hit_rate_error" in rows[0]:
            columns["hit_rate_error"] = pl.Float64()
        return frame(map(_with_decimals, rows), columns)


def cache_curve(
    store: StoreLike,
    *,
    since: Day = None,
    until: Day = None,
    key: str = "canonical",
    temperature: str = "always",
    tenant: str | None = None,
    sample: float | None = None,
) -> CacheCurve:
    """Hit rate and dollars of a shared cache, by time to live, by capacity, and by what counts as the same request.

    Parameters:
        store: a Store or its path.
        since, until: first and last day; the cache is empty at the start.
        key: canonical, canonical+mask, litellm, helicone or portkey.
        temperature: calls hotter than 0 are `"always"` cached, with `"zero"` never, with `"pool"` 4 answers each.
        tenant: keep tenants apart by `"user_id"` or `"team"`.
        sample: the share of the keys that the capacities are estimated from (0.0001 to 0.25); by default all.

    Returns: a CacheCurve, the document of `hindcast cache curve --json`.

    Raises: InputError for an unknown argument; StrategyError for sampled or aggregated logs; StoreError.

    Example: hindcast.cache_curve(store, since="2024-03-05").to_frame()
    """
    from replay.response_cache.curve_report import curve_report

    if sample is not None and not 0.0001 <= sample <= 0.25:
        raise InputError(
            f"sample {sample:g} is not between 0.0001 and 0.25", remedy="Leave it out for the exact curve."
        )
    first, last = as_window(since, until)
    report = curve_report(
        as_store(store), since=first, until=last, key=key, temperature=temperature, tenant=tenant, sample=sample
    )
    return CacheCurve(report, (first, last))


def _with_decimals(row: dict[str, Any]) -> dict[str, Any]:
    return {name: Decimal(value) if name.endswith("_usd") else value for name, value in row.items()}
