"""Optimize: the cheapest policies for each quality, and the strategy file of the one you click."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from analysis.formatting import count as counted
from analysis.formatting import money, share
from dashboard.data import strategy_files
from dashboard.documents import document_views
from dashboard.render import detail_charts
from dashboard.render.tables import Column, Table
from dashboard.screens import strategies
from dashboard.widgets import blocks, page_frame, progress
from dashboard.widgets.page_frame import View
from ingest.errors import InputError
from replay.quality.evidence import EVIDENCE


def show() -> None:
    """Draw the page."""
    view = page_frame.view()
    floor = st.slider(
        "Quality floor", 0.80, 1.0, 0.95, 0.01, key="floor", bind="query-params", width=340,
        help="The least share of today's quality that a policy must be shown to keep",
    )  # fmt: skip
    wanted = st.session_state.get("searched") or {}
    if wanted.get("view") != (view.key, view.since, view.until):
        blocks.finding("Find the cheapest policy that keeps a quality floor", level=1)
        blocks.lead("Tries models for each task with several caches and compressions, judged by the scores in the log.")
        asked = {"view": (view.key, view.since, view.until)}
        st.button("Search", type="primary", on_click=lambda: st.session_state.update(searched=asked))
        blocks.command(f"hindcast optimize --quality-floor {floor:g} {view.options()}".rstrip())
        return
    try:
        found = _search(view, floor)
    except InputError as error:
        blocks.nothing(error.what, error.remedy or "")
        return
    if found is not None:
        _answer(view, *found, floor)


def _search(view: View, floor: float, reach: float | None = None) -> tuple[document_views.Document, str] | None:
    """The search's document and its strategy file; None if the reader stopped it. `reach`: of a point of the front."""
    floor, reach = round(floor, 9), None if reach is None else round(reach, 9)
    arguments = {"since": view.since, "until": view.until, "floor": floor, "reach": reach}
    found: tuple[document_views.Document, str] | None = progress.result(
        view, "search", arguments, "Trying policies", key=(view.since, view.until, floor, reach)
    )
    return found


def _answer(view: View, found: document_views.Document, text: str, floor: float) -> None:
    blocks.finding(headline(found), level=1)
    page_frame.remarks(view.coverage)
    points = [(Decimal(p["cost_usd"]), float(p["quality_lower"]), p["knobs"]) for p in found["front"]]
    blocks.finding("Cost against quality: every point is a whole policy")
    selected = blocks.picture(
        detail_charts.front(points, chosen=(document_views.amount(found["cost_usd"]),
                     found["quality"].get("lower_90") or 1.0),
                     floor=floor, logged=document_views.amount(found["baseline_cost_usd"])),
        "front",
        alt="; ".join(f"{money(usd)} at {share(quality)}" for usd, quality, _ in points[:12]),
        select=True,
    )  # fmt: skip
    blocks.note(
        "Least quality is the lower bound that the scores support, so one moved task lowers it. Points are as the "
        "search foresees them; the star is the strategy below, replayed whole. Click a point for its strategy file."
    )
    quality = clicked(selected, points)
    if quality is not None and quality != found["quality"].get("lower_90"):
        try:
            found, text = _search(view, floor, max(0.0, quality - 1e-6)) or (found, text)
        except InputError as error:
            blocks.note(f"{error.what}. {error.remedy or ''}", warn=True)
    saved = found["saved_share"]
    blocks.finding(f"The strategy: {money(document_views.dollars(found['cost_usd']))}, {share(saved)} saved")
    moved = [row for row in found["assignment"] if row["evidence"] != "kept"]
    columns = (Column("agent"), Column("task"), Column("model"), Column("what is known of its answers", minor=True))
    rows = tuple((row["agent"], row["task"], row["model"], EVIDENCE[row["evidence"]]) for row in moved)
    if rows:
        blocks.table(Table("Which task goes to which model", columns, rows), "assignment")
    rest = len(found["assignment"]) - len(moved)
    if rest:
        blocks.note(f"{'Another ' if moved else ''}{counted(rest, 'task')} of an agent keep{'s' * (rest == 1)} "
                      "the logged model.")  # fmt: skip
    st.code(text, language="yaml", wrap_lines=True)
    with st.container(horizontal=True, key="optimized"):
        _use(text)
    if found["notes"]:
        blocks.finding("What the log cannot say")
        blocks.points([str(note) for note in found["notes"]], shown=6)


def _use(text: str) -> None:
    """Ways to go on with the strategy file."""
    entry = strategy_files.check(text, "optimized.yaml")
    if entry.strategy and st.button(
        "Take it to Strategies",
        type="primary",
        icon=":material/alt_route:",
        help="To replay beside others",
    ):
        strategies.take(entry)
    st.download_button("Download", text, file_name="optimized.yaml", mime="text/yaml", on_click="ignore")
    if st.button("Save to ./strategies", help="Then it stands on the Strategies page"):
        blocks.note(f"Saved as {strategy_files.save(entry)}.")


def headline(found: document_views.Document) -> str:
    """The answer, with its certainty."""
    cost, logged = (
        money(document_views.dollars(found["cost_usd"])),
        money(document_views.dollars(found["baseline_cost_usd"])),
    )
    bound = found["quality"].get("lower_90")
    kept = "" if bound is None else f" while keeping at least {share(bound)} of today's quality"
    return f"{cost} instead of {logged} ({share(found['saved_share'])} saved){kept}"


def clicked(selected: object, points: list[tuple[Decimal, float, str]]) -> float | None:
    """The least quality of the point that was clicked."""
    chosen = selected.get("selection", {}).get("points", []) if isinstance(selected, dict) else []
    if not chosen or chosen[0].get("curve_number") != 0:
        return None
    number = int(chosen[0].get("point_index", -1))
    return points[number][1] if 0 <= number < len(points) else None
