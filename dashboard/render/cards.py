"""A row of figures that answers before anyone reads: shown on pages and in the report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_QUOTED = re.compile(r"`([^`]*)`")  # as the terminal sets off a name


@dataclass(frozen=True)
class Kpi:
    """A figure of merit: `tone` is `bad`, `good` or empty; `about` explains a term."""

    label: str
    value: str
    detail: str = ""
    tone: str = ""
    about: str = ""


def kpis_html(row: Sequence[Kpi]) -> str:
    """The row as HTML, for pages and reports."""
    cards = []
    for kpi in row:
        about = f' title="{escape(kpi.about)}"' if kpi.about else ""
        tone = f" hc-{kpi.tone}" if kpi.tone else ""
        cards.append(
            f'<div class="hc-kpi"{about} role="group" aria-label="{escape(kpi.label)}">'
            f'<div class="hc-label">{escape(kpi.label)}</div>'
            f'<div class="hc-value{tone}">{prose(kpi.value)}</div>'
            f'<div class="hc-detail">{prose(kpi.detail)}</div></div>'
        )
    return f'<div class="hc-kpis">{"".join(cards)}</div>'


def prose(text: str) -> str:
    """A sentence as HTML: escaped, and a figure keeps its unit on its line."""
    return escape(text).replace(" %", "\u00a0%")


def points_html(texts: Sequence[str]) -> str:
    """Short remarks as a list."""
    said = (_QUOTED.sub(r"'\1'", text) for text in texts)
    return f'<ul class="hc-limits">{"".join(f"<li>{prose(text)}</li>" for text in said)}</ul>'
