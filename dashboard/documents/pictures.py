"""The pictures of a report: a place to draw, the data, and what is drawn in words."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from analysis.formatting import money
from dashboard.documents import document_views, strategy_tables
from dashboard.documents.sections import Part, Picture
from dashboard.documents.story import Findings
from dashboard.render import daily_charts
from dashboard.render.palette import GREY


def trajectory(findings: Findings) -> Part:
    """Daily or weekly cost by agent."""
    drawn = document_views.by_week(document_views.trajectory(findings.by_agent, "agent", findings.colours))
    if not drawn.days:
        return "No call has a time."
    whole = set(findings.coverage.whole_days)
    figure = daily_charts.trajectory(
        drawn.days,
        drawn.stacks,
        findings.colours,
        spike=None if drawn.weekly else findings.spike,
        expected=document_views.expected_range(findings.diagnosis) if findings.diagnosis and not drawn.weekly else None,
        incomplete=[] if drawn.weekly else [day for day in drawn.days if day not in whole],
        annotations=findings.coverage.annotations,
        unit="USD per week" if drawn.weekly else "USD per day",
    )
    every = "Weekly" if drawn.weekly else "Daily"
    return _picture(figure, f"{every} cost by agent, {drawn.days[0]} to {drawn.days[-1]}.")


def lines(findings: Findings) -> Part:
    """Daily cost as logged and under each policy. Call it only where strategies were replayed."""
    assert findings.replay is not None
    colours = strategy_tables.strategy_colours(findings.replay)
    drawn = strategy_tables.trajectories(findings.costs, findings.coverage.whole_days, findings.replay, colours)
    words = "; ".join(f"{entry.name} {money(entry.per_day())} a day" for entry in findings.replay.strategies)
    figure = daily_charts.comparison(drawn, spike=findings.spike, annotations=findings.coverage.annotations)
    note = ""
    if any(line.dashed for line in drawn):
        note = '<p class="hc-note">Dotted: below the quality floor, or quality unknown.</p>'
    return _picture(figure, f"Daily cost as logged and under each policy: {words}.", note)


def _picture(figure: go.Figure, words: str, note: str = "") -> Picture:
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#3d454d"},
    )
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(gridcolor="rgba(138,146,156,.25)", linecolor=GREY, title={"standoff": 12, "font": {"size": 13}})
    height = int(figure.layout.height)
    # "</" inside a script element would end it, whatever the JSON around it says
    data = figure.to_json().replace("</", "<\\/")
    html = (
        f'<figure><div class="hc-picture" role="img" aria-label="{escape(words)}" '
        f'data-height="{height}" style="height:{height}px"></div>'
        f'<script type="application/json">{data}</script></figure>{note}'
    )
    return Picture(html, words)
