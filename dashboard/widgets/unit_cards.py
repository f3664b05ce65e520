"""Beside the dollars of the Overview: unit cost, errors and latency, for all calls and by name, and the budgets."""

from __future__ import annotations

from decimal import Decimal

from analysis.formatting import money, share
from analysis.gates.settings import Settings
from dashboard.data import measures, results_cache
from dashboard.documents import document_views
from dashboard.render.cards import Kpi
from dashboard.render.palette import colour
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, fragments
from dashboard.widgets.page_frame import View

ROWS = 12


def figures(view: View) -> list[Kpi]:
    """Dollars per conversation, errors and latency of the window, where the log tells them."""
    days = view.since, view.until
    found: list[Kpi] = []
    for unit in ("conversation", "request", "user"):
        total = results_cache.unit_costs(*view.key, unit, (), *days)["total"]
        if total["usd_per_unit"] is not None and total["units"] < total["calls"]:
            about = "The mean over those whose calls all have a price, and its 90 % interval."
            low = "" if total["low_usd"] is None else f" ({measures.per_unit(total).partition(' (')[2]}"
            found.append(
                Kpi(
                    f"Cost per {unit}",
                    money(Decimal(total["usd_per_unit"])),
                    f"over {total['units']:,}{low}",
                    about=about,
                )
            )
            break
    (service,) = results_cache.service(*view.key, (), *days)
    if service["error_share"] is not None:
        found.append(
            Kpi("Failed calls", share(service["error_share"]), f"{service['errors']:,} of {service['known_calls']:,}")
        )
    if service["p95_ms"] is not None:
        half = measures.seconds(service["p50_ms"])
        found.append(
            Kpi("Latency p95", measures.seconds(service["p95_ms"]), f"p50 {half}, of {service['timed_calls']:,} calls",
                about="Durations of calls that succeeded")
        )  # fmt: skip
    return found


def per_name(view: View, dimension: str, *, opened: bool) -> None:
    """A table of each name of a dimension: dollars, per call and conversation, errors, latency."""
    _per_name(view, dimension, opened)


@fragments.region
def _per_name(view: View, dimension: str, opened: bool) -> None:
    def draw() -> None:
        blocks.table(_table(view, dimension), f"unit-cost-by-{dimension}", limit=ROWS)

    fragments.fold(f"Unit cost, errors and latency by {dimension}", f"per-{dimension}", draw, opened=opened)


def _table(view: View, dimension: str) -> Table:
    days = view.since, view.until
    costs = results_cache.cost(*view.key, (dimension,), *days)
    levels = {row[dimension]: row for row in results_cache.service(*view.key, (dimension,), *days)}
    units = {
        row[dimension]: row for row in results_cache.unit_costs(*view.key, "conversation", (dimension,), *days)["rows"]
    }
    total = document_views.amount(costs["total"]["cost_usd"])
    colours = results_cache.colours(*view.key, dimension)
    rows = []
    for row in costs["rows"]:
        name, usd = row[dimension], document_views.dollars(row["cost_usd"])
        priced = row["calls"] - row["unpriced_calls"]
        level, unit = levels.get(name, {}), units.get(name, {})
        rows.append(
            (
                document_views.label(name), usd, float(usd / total) if usd is not None and total else None,
                row["calls"], usd / priced if usd is not None and priced else None,
                unit.get("units"), document_views.dollars(unit.get("usd_per_unit")),
                level.get("error_share"), level.get("p50_ms"), level.get("p95_ms"),
            )
        )  # fmt: skip

    def dash(value: Decimal | None) -> str:
        return "-" if value is None else money(value)

    def number(value: int | None) -> str:
        return "-" if value is None else f"{value:,}"

    columns = (
        Column(dimension, swatch=lambda name: colour(colours, str(name))),
        Column("USD", money, figure=True),
        Column("share", share, figure=True, minor=True),
        Column("calls", number, figure=True, minor=True),
        Column("USD a call", dash, figure=True, about="Of calls with a price"),
        Column("conversations", number, figure=True, minor=True, about="Whose calls here all have a price"),
        Column("USD a conversation", dash, figure=True, minor=True),
        Column("failed", share, figure=True),
        Column("p50", measures.seconds, figure=True, minor=True, about="Half of the calls took at most this long"),
        Column("p95", measures.seconds, figure=True, about="95 % of the calls took at most this long"),
    )
    return Table(f"Unit cost, errors and latency by {dimension}", columns, tuple(rows))


def budgets(view: View, settings: Settings) -> None:
    """One sentence for each budget of hindcast.toml, as `hindcast check` says it, and when it runs out."""
    for result in results_cache.budgets(*view.key, settings):
        blocks.note(f"{result.name}: {result.sentence}", warn=result.passed is False or result.runs_out is not None)
