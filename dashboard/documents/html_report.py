"""The report: one self-contained page that opens without a network, prints well, and reads without a guide."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Final

from plotly.offline import get_plotlyjs

from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from dashboard.documents import report_sections
from dashboard.documents import sections as written
from dashboard.documents.report_sections import AUDIENCES
from dashboard.documents.story import Findings, days_in_words, headline, numbers, with_years
from dashboard.render import cards, tables
from dashboard.render.cards import Kpi

__all__ = ["AUDIENCES", "html", "markdown"]
_STYLE: Final = Path(__file__).parents[1] / "assets" / "look.css"
_PRINT: Final = Path(__file__).parents[1] / "assets" / "report.css"
PRINTED: Final = {"stakeholders": 0.3, "finance": 0.45}  # of a picture's height on the screen, to fit one page


def html(findings: Findings, audience: str = "everyone") -> str:
    """The whole report as one HTML document with its pictures, style and script inside."""
    body = _head(findings) + written.to_html(report_sections.sections(findings, audience))
    body += _words() if audience in ("stakeholders", "finance") else ""
    body = "".join(
        part if part.startswith("<script") else with_years(part, findings.coverage)
        for part in re.split(r"(<script\b.*?</script>)", body, flags=re.DOTALL)
    )
    title = escape(with_years(headline(findings), findings.coverage))
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
<body class="hc-report hc-for-{audience}">
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
    Plotly.relayout(place, {{width: 680, height: height, "font.size": 10, "yaxis.title.font.size": 10}});
    const legend = place.querySelector(".legend")?.getBBox().height ?? 0;
    if (legend > 30) {{  // names on two lines: without more room the days below would be cut
      place.style.height = height + legend + "px";
      Plotly.relayout(place, {{height: height + legend}});
    }}
  }}
}});
</script>
</body>
</html>
"""


def _head(findings: Findings) -> str:
    figures_row = cards.kpis_html([Kpi(label, value, detail) for label, value, detail in numbers(findings)])
    days = days_in_words(findings)
    return f'<h1>{escape(headline(findings))}</h1><p class="hc-note">{escape(_span(findings))}</p>{figures_row}' + (
        f'<p class="hc-note">{escape(days)}</p>' if days else ""
    )


def _span(findings: Findings) -> str:
    first, last = findings.coverage.first, findings.coverage.last
    span = f"{day_text(first)} {first.year} to {day_text(last)} {last.year}, " if first and last else ""
    return f"{span}{counted(findings.coverage.calls, 'call')}."


def _words() -> str:
    items = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in report_sections.WORDS)
    return f'<section><h2>Words used</h2><dl class="hc-words">{items}</dl></section>'


# -- markdown ----------------------------------------------------------------------------------------------------------


def markdown(findings: Findings, audience: str = "everyone") -> str:
    """The report for a pull request: sentences and tables, no pictures."""
    md = tables.escape_markdown
    parts = [f"## {md(headline(findings))}", ""]
    parts += [f"- **{md(label)}** {md(value)} {md(detail)}" for label, value, detail in numbers(findings)]
    parts += ["", md(days)] if (days := days_in_words(findings)) else []
    parts += written.to_markdown(report_sections.sections(findings, audience))
    return with_years("\n".join(parts), findings.coverage) + "\n"
