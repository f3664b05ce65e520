"""The report: one self-contained page that opens without a network, prints well, and reads without a guide."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from analysis.formatting import money
from analysis.money import dollars
from dashboard.documents import document_views, evidence_tables
from dashboard.documents.story import (
    Findings,
    certainty,
    days_in_words,
    headline,
    method,
    numbers,
    recommendation,
)
from dashboard.render import cards, daily_charts, tables
from dashboard.render.cards import Kpi
from dashboard.render.palette import GREY
from dashboard.render.tables import Table
from replay.engine.run import StrategyResult

AUDIENCES: Final = ("everyone", "stakeholders", "engineers")
_STYLE: Final = Path(__file__).parents[1] / "assets" / "look.css"
_PRINT: Final = Path(__file__).parents[1] / "assets" / "report.css"
MOST_CAUSES: Final = 4  # in the picture for stakeholders
PRINTED: Final = {"stakeholders": 0.62}  # of a picture's height on the screen, to fit one page
WORDS: Final = (
    ("call", "one request to a language model and its answer"),
    ("model", "the language model that answers, such as gpt-4-turbo; a smaller one costs less a call"),
    ("cache", "a store of earlier answers: the same question again costs nothing"),
    ("quality floor", "the least share of today's answer quality that a cheaper policy has to keep"),
    ("90 % lower bound", "with 90 % confidence the answers keep at least this share of today's quality"),
    ("complete day", "a day that the log covers as far as comparable days go; one without a call in between costs $0"),
)


def html(findings: Findings, audience: str = "everyone") -> str:
    """The whole report as one HTML document with its pictures, style and script inside."""
    body = {"stakeholders": _for_stakeholders, "engineers": _for_engineers}.get(audience, _for_everyone)(findings)
    title = escape(headline(findings))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
{_STYLE.read_text("utf-8")}
{_PRINT.read_text("utf-8")}
</style>
<script>{get_plotlyjs()}</script>
</head>
<body class="hc-report">
<main>
{body}
</main>
<script>
for (const place of document.querySelectorAll(".hc-picture")) {{
  const drawn = JSON.parse(place.nextElementSibling.textContent);
  Plotly.newPlot(place, drawn.data, drawn.layout, {{displayModeBar: false, responsive: true, staticPlot: true}});
}}
addEventListener("beforeprint", () => {{
  for (const place of document.querySelectorAll(".hc-picture")) {{
    const height = Math.round(parseInt(place.dataset.height) * {PRINTED.get(audience, 0.8)});
    place.style.height = height + "px";
    Plotly.relayout(place, {{width: 680, height: height}});
  }}
}});
</script>
</body>
</html>
"""


def _for_stakeholders(findings: Findings) -> str:
    return "\n".join(
        (
            _head(findings),
            _period(findings),
            _pictures_of_choice(findings),
            _section("Why it happened", _why_in_words(findings), _waterfall(findings, most=MOST_CAUSES)),
            _section("What to do", _paragraph(recommendation(findings)), cards.points_html(certainty(findings))),
            _words(),
        )
    )


def _for_everyone(findings: Findings) -> str:
    return "\n".join(
        (
            _head(findings),
            _period(findings),
            _section("What happened", _trajectory(findings)),
            _section("Why", _why_in_words(findings), _waterfall(findings), _causes(findings)),
            _compared(findings),
            _section("What to do", _paragraph(recommendation(findings)), cards.points_html(certainty(findings))),
            _limits(findings, shown=12),
            _section("How it was computed", cards.points_html(method(findings))),
        )
    )


def _for_engineers(findings: Findings) -> str:
    drivers = evidence_tables.drivers(findings.diagnosis) if findings.diagnosis else None
    return "\n".join(
        (
            _head(findings),
            _period(findings),
            _section("What happened", _trajectory(findings)),
            _section("Why", _why_in_words(findings), _waterfall(findings), _causes(findings)),
            _section("Every driver", tables.html(drivers)) if drivers and drivers.rows else "",
            _compared(findings),
            *(
                _stages(entry)
                for entry in (findings.replay.strategies if findings.replay else ())
                if entry.savings_pico
            ),
            _section("What to do", _paragraph(recommendation(findings)), cards.points_html(certainty(findings))),
            _limits(findings, shown=None),
            _section("How it was computed", cards.points_html(method(findings))),
        )
    )


# -- parts -------------------------------------------------------------------------------------------------------------


def _head(findings: Findings) -> str:
    first, last = findings.coverage.first, findings.coverage.last
    span = f"{day_text(first)} to {day_text(last)} {last.year}, " if first and last else ""
    figures_row = cards.kpis_html([Kpi(label, value, detail) for label, value, detail in numbers(findings)])
    days = days_in_words(findings)
    return (
        f"<h1>{escape(headline(findings))}</h1>"
        f'<p class="hc-note">{escape(span)}{counted(findings.coverage.calls, "call")}.</p>{figures_row}'
        + (f'<p class="hc-note">{escape(days)}</p>' if days else "")
    )


def _period(findings: Findings) -> str:
    found = findings.review
    if found is None:
        return ""
    promised = _section("What was promised, and what came true", cards.points_html(found.promises))
    return (
        _section(f"{counted(found.days, 'day')}, and the {counted(found.days, 'day')} before", tables.html(found.table))
        + promised
    )


def _section(title: str, *parts: str) -> str:
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{escape(title)}</h2>\n{inside}</section>" if inside else ""


def _paragraph(text: str) -> str:
    return f'<p class="hc-lead">{cards.prose(text)}</p>'


def _why_in_words(findings: Findings) -> str:
    if findings.diagnosis is None:
        return _paragraph("No call has both a time and a price, so no day can be explained.")
    return _paragraph(" ".join(document_views.sentences(findings.diagnosis)))


def _trajectory(findings: Findings) -> str:
    drawn = document_views.by_week(document_views.trajectory(findings.by_agent, "agent", findings.colours))
    if not drawn.days:
        return _paragraph("No call has a time.")
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
    return _picture(figure, f"Daily cost by agent, {drawn.days[0]} to {drawn.days[-1]}.")


def _waterfall(findings: Findings, most: int | None = None) -> str:
    found = findings.diagnosis
    if found is None or not found["drivers"]:
        return ""
    steps = (
        document_views.steps_by_cause(found, most)
        if document_views.causes(found)
        else document_views.steps_by_place(found)
    )
    words = "; ".join(f"{step.label} {step.detail} {money(step.amount, sign=True)}" for step in steps[1:-1])
    figure = daily_charts.waterfall(steps)
    if most is not None:
        figure.update_yaxes(tickfont={"size": 11})
    return _picture(figure, f"From {money(steps[0].amount)} to {money(steps[-1].amount)}: {words}.")


def _causes(findings: Findings) -> str:
    found = findings.diagnosis
    return tables.html(evidence_tables.causes(found)) if found is not None and document_views.causes(found) else ""


def _pictures_of_choice(findings: Findings) -> str:
    if findings.replay is None or findings.best is None:
        return _section("What happened", _trajectory(findings))
    return _section("What it cost, and what it could have cost", _lines(findings))


def _compared(findings: Findings) -> str:
    if findings.replay is None:
        return ""
    colours = evidence_tables.strategy_colours(findings.replay)
    proof = tables.html(evidence_tables.comparison(findings.replay, colours))
    return _section("What was compared", _lines(findings), proof)


def _lines(findings: Findings) -> str:
    assert findings.replay is not None
    colours = evidence_tables.strategy_colours(findings.replay)
    lines = evidence_tables.trajectories(findings.costs, findings.coverage.whole_days, findings.replay, colours)
    words = "; ".join(f"{entry.name} {money(entry.per_day())} a day" for entry in findings.replay.strategies)
    figure = daily_charts.comparison(lines, spike=findings.spike, annotations=findings.coverage.annotations)
    note = ""
    if any(line.dashed for line in lines):
        note = '<p class="hc-note">Dotted: below the quality floor, or quality unknown.</p>'
    return _picture(figure, f"Daily cost as logged and under each policy: {words}.") + note


def _stages(entry: StrategyResult) -> str:
    words = "; ".join(
        f"{stage} {money(dollars(saved) if entry.priced_calls else None)}"
        for stage, saved in entry.savings_pico.items()
    )
    figure = daily_charts.waterfall(document_views.savings_steps(entry))
    return _section(f"Where the savings of {entry.name} come from", _picture(figure, f"{words}."))


def _limits(findings: Findings, shown: int | None) -> str:
    if findings.replay is None:
        return ""
    said = _said_of(findings.replay.strategies)
    kept = said if shown is None else said[:shown]
    more = (
        f'<p class="hc-note">And {len(said) - len(kept)} more: --for engineers lists them.</p>' if kept != said else ""
    )
    return _section("What the log cannot say", cards.points_html(kept), more) if said else ""


def _said_of(strategies: Sequence[StrategyResult]) -> list[str]:
    """Each limit once, after the strategies that it holds for; alone where it holds for all that declare a stage."""
    names: dict[str, list[str]] = {}
    for entry in strategies:
        for limit in entry.limits:
            names.setdefault(limit, []).append(entry.name)
    every = sum(bool(entry.savings_pico) for entry in strategies)
    return [limit if len(of) >= every else f"{', '.join(of)}: {limit}" for limit, of in names.items()]


def _words() -> str:
    items = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in WORDS)
    return f'<section><h2>Words used</h2><dl class="hc-words">{items}</dl></section>'


def _picture(figure: go.Figure, words: str) -> str:
    """A figure as a place to draw it, its data, and what it shows in words."""
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
    return (
        f'<figure><div class="hc-picture" role="img" aria-label="{escape(words)}" '
        f'data-height="{height}" style="height:{height}px"></div>'
        f'<script type="application/json">{data}</script></figure>'
    )


# -- markdown ----------------------------------------------------------------------------------------------------------


def markdown(findings: Findings, audience: str = "everyone") -> str:
    """The report for a pull request: sentences and tables, no pictures."""
    md = tables.escape_markdown
    parts = [f"## {md(headline(findings))}", ""]
    parts += [f"- **{md(label)}** {md(value)} {md(detail)}" for label, value, detail in numbers(findings)]
    parts += ["", md(days)] if (days := days_in_words(findings)) else []
    if findings.review is not None:
        days = counted(findings.review.days, "day")
        parts += ["", f"### {days}, and the {days} before", "", tables.markdown(findings.review.table)]
        parts += ["", "### What was promised, and what came true", "", *_bullets(findings.review.promises)]
    if findings.diagnosis is not None:
        parts += ["", "### Why", "", md(" ".join(document_views.sentences(findings.diagnosis)))]
        proof = _proof_of_why(findings.diagnosis, audience)
        parts += ["", tables.markdown(proof)] if proof.rows else []
    if findings.replay is not None:
        compared = evidence_tables.comparison(findings.replay, {})
        parts += ["", "### What was compared", "", tables.markdown(compared)]
    parts += ["", "### What to do", "", md(recommendation(findings)), "", *_bullets(certainty(findings))]
    if audience != "stakeholders":
        said = _said_of(findings.replay.strategies) if findings.replay else []
        parts += ["", "### What the log cannot say", "", *_bullets(said)] if said else []
        parts += ["", "### How it was computed", "", *_bullets(method(findings))]
    return "\n".join(parts) + "\n"


def _proof_of_why(found: document_views.Document, audience: str) -> Table:
    if audience == "engineers" or not document_views.causes(found):
        return evidence_tables.drivers(found)
    return evidence_tables.causes(found)


def _bullets(texts: Sequence[str]) -> list[str]:
    return [f"- {tables.escape_markdown(text)}" for text in texts]
