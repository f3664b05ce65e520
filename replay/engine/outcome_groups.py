"""What calls would have become, group by group: how many move, from what to what, at what cost, risk and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import polars as pl

from analysis.formatting import usd
from ingest.errors import InputError, did_you_mean

DIMENSIONS: Final = {
    "agent": "agent", "task": "task", "model": "logged_model", "provider": "logged_provider", "tier": "logged_tier",
    "to_model": "model", "to_provider": "provider", "to_tier": "tier", "outcome": "outcome", "cache_tier": "cache_tier",
    "evidence": "quality_evidence", "day": "day",
}  # fmt: skip


def with_quality(calls: pl.DataFrame, cells: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """A `call_frame` with what is known of each call's quality: `quality_evidence` (`none` where nothing is) and
    `quality_ratio`, the mean score of the serving model over the logged one's on the task. `cells` are those of the
    strategy's quality (`replay.quality.cells.Cell`)."""
    rows = [
        {
            "task": cell["task"],
            "logged_model": cell["logged_model"],
            "model": cell["model"],
            "quality_evidence": cell["evidence"],
            "quality_ratio": cell["mean"] / cell["logged_mean"] if cell["mean"] and cell["logged_mean"] else None,
        }
        for cell in cells
    ]
    text = dict.fromkeys(("task", "logged_model", "model", "quality_evidence"), pl.String)
    known = pl.DataFrame(rows, schema={**text, "quality_ratio": pl.Float64})
    joined = calls.join(
        known, on=["task", "logged_model", "model"], how="left", nulls_equal=True, maintain_order="left"
    )
    return joined.with_columns(pl.col("quality_evidence").fill_null("none"))


def grouped(calls: pl.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    """One row per combination of DIMENSIONS, dearest logged first; `calls` is a `call_frame` with its quality.

    `model` is the logged one and `to_model` the serving one. Raises InputError for another dimension.
    """
    for name in by:
        if name not in DIMENSIONS:
            raise InputError(f"'{name}' is not a dimension of a replay", remedy=did_you_mean(name, DIMENSIONS))
    known = calls.with_columns(day=pl.col("start_time").dt.date().cast(pl.String))
    moved = (pl.col("logged_model") != pl.col("model")) | (pl.col("logged_tier") != pl.col("tier"))
    rows = (
        known.group_by([pl.col(DIMENSIONS[name]).alias(name) for name in by])
        .agg(
            calls=pl.col("weight").sum(),
            moved=pl.col("weight").filter(moved).sum(),
            hits=pl.col("weight").filter(pl.col("outcome") == "hit").sum(),
            to=pl.col("model").filter(moved).drop_nulls().unique().sort(),
            logged=pl.col("logged_cost_usd").sum(),
            cost=pl.col("cost_usd").sum(),
            priced=pl.col("cost_usd").count(),
            unscored=pl.col("weight").filter(pl.col("quality_evidence") == "none").sum(),
            quality=pl.col("quality_ratio").filter(moved).mean(),
        )
        .sort([pl.col("logged"), *by], descending=[True, *(False for _ in by)], nulls_last=True)
    )
    return [_row(row, by) for row in rows.iter_rows(named=True)]


def _row(row: dict[str, Any], by: Sequence[str]) -> dict[str, Any]:
    known = row["priced"] > 0
    return {
        **{name: row[name] for name in by},
        "calls": round(row["calls"]),
        "moved": round(row["moved"]),
        "hits": round(row["hits"]),
        "to": row["to"],
        "logged_cost_usd": usd(Decimal(row["logged"])) if known else None,
        "cost_usd": usd(Decimal(row["cost"])) if known else None,
        "without_evidence": round(row["unscored"]),
        "quality_ratio": None if row["quality"] is None else round(row["quality"], 4),
    }
