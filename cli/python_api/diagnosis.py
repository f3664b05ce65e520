"""`hindcast.diagnose`: why a day cost what it cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import Day, StoreLike, as_day, as_names, as_store
from cli.python_api.result import Result, Rows
from ingest.errors import InputError

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from analysis.diagnosis import result


@dataclass(frozen=True, repr=False)
class Diagnosis(Result):
    """What moved a day away from its baseline. The drivers and the residual sum to `delta` exactly.

    Amounts are Decimal in the metric's unit: dollars, calls or tokens.
    """

    found: result.Diagnosis
    path: Path

    @property
    def day(self) -> date:
        """The day that is explained."""
        return self.found.day

    @property
    def actual(self) -> Decimal:
        """What it cost."""
        return self.found.actual

    @property
    def expected(self) -> Decimal:
        """What it was expected to cost."""
        return self.found.expected

    @property
    def delta(self) -> Decimal:
        """Actual minus expected; the drivers and the residual sum to it."""
        return self.found.delta

    @property
    def residual(self) -> Decimal:
        """What no driver explains."""
        return self.found.residual

    @property
    def flagged(self) -> bool:
        """Whether the day stands out of its baseline."""
        return self.found.flagged

    @property
    def summary(self) -> str:
        from analysis.diagnosis.document import summary

        return summary(self.found)

    @property
    def shown(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.found.by, "factor", "detail", "delta", "share", "undo_saves")

    @property
    def drivers(self) -> Rows:
        """The drivers, largest first; `.to_frame()` as of `Diagnosis.to_frame`."""
        return Rows(f"Drivers of {self.day}", self.to_dict()["drivers"], self.to_frame(), self.shown)

    @property
    def causes(self) -> Rows:
        """The causes, largest first; with the residual they sum to `delta`, too.

        Columns of the frame: `cause`, `title`, `segments` String; `delta` Decimal(38, 12) and `undo_saves`
        Decimal(38, 12), in the metric's unit per day; `share` Float64 of the whole change; `surprising` Boolean;
        `confidence` Float64, 0 to 1; `fix` String.
        """
        import polars as pl

        from analysis.diagnosis.narrative import place
        from cli.python_api.frames import USD, frame

        rows = [
            {
                "cause": entry.cause.cause,
                "title": entry.cause.title,
                "segments": "; ".join(place(segment) for segment in entry.cause.segments),
                "delta": entry.delta,
                "undo_saves": entry.undo_saves,
                "share": entry.share,
                "surprising": entry.cause.surprising,
                "confidence": entry.cause.confidence,
                "fix": entry.cause.fix,
            }
            for entry in self.found.causes
        ]
        text, number = pl.String(), pl.Float64()
        columns = {"cause": text, "title": text, "segments": text, "delta": USD, "undo_saves": USD, "share": number,
                   "surprising": pl.Boolean(), "confidence": number, "fix": text}  # fmt: skip
        shown = ("title", "segments", "delta", "share", "undo_saves")
        return Rows(f"Causes of {self.day}", self.to_dict()["causes"], frame(rows, columns), shown)

    def document(self) -> dict[str, Any]:
        from analysis.diagnosis.document import to_json
        from cli.terminal.output import named_store

        return to_json(self.found, named_store(str(self.path)))

    def to_frame(self) -> pl.DataFrame:
        """One row per driver, largest first.

        Columns: the dimensions of `by`, String; `factor` String, what changed there; `detail` String, the model or
        price it is about; `delta` Decimal(38, 12), its part of the change in the metric's unit; `share` Float64 of
        the whole change; `before`, `after` Float64, the factor's value in `unit` (String); `delta_low`, `delta_high`
        Decimal(38, 12), over all orders in which the factors can change; `undo_saves` Decimal(38, 12) per day, with
        this factor alone back at its baseline.
        """
        import polars as pl

        from cli.python_api.frames import USD, frame

        rows = [
            {
                **line.segment,
                "factor": line.factor,
                "detail": line.detail,
                "delta": line.delta,
                "share": line.share,
                "before": line.before,
                "after": line.after,
                "unit": line.unit,
                "delta_low": line.order_range and line.order_range[0],
                "delta_high": line.order_range and line.order_range[1],
                "undo_saves": line.undo_saves,
            }
            for line in self.found.drivers
        ]
        text, number = pl.String(), pl.Float64()
        columns = {**dict.fromkeys(self.found.by, text), "factor": text, "detail": text, "delta": USD, "share": number,
                   "before": number, "after": number, "unit": text, "delta_low": USD, "delta_high": USD,
                   "undo_saves": USD}  # fmt: skip
        return frame(rows, columns)

    def plot(self, by: str = "cause") -> go.Figure:
        """From what was expected to what it was, as a waterfall of causes (or drivers with `by="place"`).

        Raises InputError for any other `by`, and where the metric is not cost.
        """
        from dashboard.documents import document_views
        from dashboard.render import daily_charts

        if by not in ("cause", "place"):
            raise InputError(f"'{by}' is no way to take the change apart", remedy="Use cause or place.")
        if self.found.metric != "cost":
            raise InputError("a waterfall is in dollars", remedy='Use metric="cost".')
        document = self.document()
        whole = by == "cause" and document["causes"]
        steps = document_views.steps_by_cause(document) if whole else document_views.steps_by_place(document)
        return daily_charts.waterfall(steps)


def diagnose(
    store: StoreLike,
    *,
    day: Day = None,
    baseline: str | tuple[Day, Day] | None = None,
    by: str | Iterable[str] = ("agent", "task"),
    metric: str = "cost",
) -> Diagnosis:
    """Explain a day against its baseline, in drivers that add up to the change.

    Parameters:
        store: a Store or its path.
        day: the day to explain, a date or `"2024-03-05"`; by default the newest day that can be judged.
        baseline: days to compare with, `"2024-02-01..2024-02-28"` or a pair of days; by default days like it.
        by: what a segment is, such as `["agent", "task"]`.
        metric: cost, calls or tokens.

    Returns: a Diagnosis, the document of `hindcast diagnose --json`; `.drivers` and `.causes` are its two tables.

    Raises: StoreError where there is no store; InputError where there is nothing to explain, or for an unknown
    dimension, metric or range.

    Example: hindcast.diagnose(store, day="2024-03-05").summary
    """
    from analysis.calendar_days import parse_range, today
    from analysis.diagnosis.diagnose import diagnose as explain_day

    target = as_store(store)
    days = baseline if isinstance(baseline, str) or baseline is None else "..".join(str(as_day(d)) for d in baseline)
    found = explain_day(
        target, day=as_day(day), baseline=parse_range(days, today()) if days else None, by=as_names(by), metric=metric
    )
    return Diagnosis(found, target.path)
