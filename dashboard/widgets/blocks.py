"""The page's building blocks: finding, figures of merit, picture, proof table, next step. Text from logs stays text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard.render import first_paint, tables
from dashboard.render.cards import Kpi, kpis_html, points_html, prose
from dashboard.render.daily_charts import captioned
from dashboard.render.tables import Table

_LOOK = Path(__file__).parents[1] / "assets" / "look.css"
ROWS_SHOWN = 30
EXPORTED = 1100  # pixels
PICTURES = "page-has-pictures"  # in the session
ABOUT = "about-this-page"  # in the session: lines that every file of the page begins with
FIRST_WORDS_S = 0.35


def look() -> None:
    """The style sheet, once a run."""
    st.html(_LOOK)


def finding(text: str, *, level: int = 2) -> None:
    """What a picture or page shows, as its heading."""
    st.html(f'<h{level} class="hc-finding">{prose(text)}</h{level}>')


def lead(text: str) -> None:
    """A sentence or two under a heading."""
    st.html(f'<p class="hc-lead">{prose(text)}</p>')


def note(text: str, *, warn: bool = False) -> None:
    """A remark: what is left out, how a figure was made."""
    st.html(f'<p class="hc-note{" hc-warn" if warn else ""}">{prose(text)}</p>')


def kpis(row: Sequence[Kpi]) -> None:
    """A row of figures that wraps on a narrow page."""
    st.html(kpis_html(row))


def picture(
    figure: go.Figure,
    name: str,
    *,
    alt: str,
    select: bool = False,
    clicked: Callable[[], None] | None = None,
    caption: str = "",
) -> Any:
    """A figure that exports as the format chosen in the sidebar; `alt` says in words what it shows.

    With `select` a click on a point runs the page again, and the selection is returned; `clicked` is called before
    that run. `caption` stands small below the picture and goes with it into its file.
    """
    st.session_state[PICTURES] = True
    if caption:
        figure = captioned(figure, caption)
    config = {
        "displayModeBar": "hover",
        "toImageButtonOptions": {
            "format": st.session_state.get("format", "png"),
            "filename": name,
            "scale": 2,
            "width": EXPORTED,
        },  # as wide from a phone, so that no name is cut
        "modeBarButtonsToRemove": ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"],
        "scrollZoom": False,
        "responsive": True,
    }
    if select or clicked:
        return st.plotly_chart(
            figure, key=f"picture-{name}", config=config, alt=alt, on_select=clicked or "rerun", selection_mode="points"
        )
    return st.plotly_chart(figure, key=f"picture-{name}", config=config, alt=alt)


def first_picture(
    figure: go.Figure, name: str, *, alt: str, clicked: Callable[[], None] | None = None, caption: str = ""
) -> Callable[[], None]:
    """A place for a picture of bars, on a visit's first page with a sketch of it; the page's end draws the figure.

    A browser takes a second or more to load what draws figures, and draws nothing else meanwhile: so the first time it
    is given the page's words and the sketch, and a moment for them.
    """
    place = st.container(key="first-picture")
    sketched = bool(st.session_state.get("sketched"))
    if sketched:
        place.empty()
    else:
        place.html(first_paint.bars(figure, alt))

    def draw() -> None:
        if not sketched:
            time.sleep(FIRST_WORDS_S)
        with place:
            picture(figure, name, alt=alt, clicked=clicked, caption=caption)
        st.session_state["sketched"] = True

    return draw


def table(proof: Table, name: str, *, limit: int = ROWS_SHOWN, about: Sequence[str] = ()) -> None:
    """A proof table with its CSV; rows beyond `limit` are in the file only, and it says so.

    The file begins with the table's title, what the page is of, and `about`.
    """
    of = [proof.caption, *st.session_state.get(ABOUT, ()), *about]
    st.html(tables.html(proof, limit=limit))
    if len(proof.rows) > limit:
        note(f"The first {limit:,} of {len(proof.rows):,} rows; the CSV has them all.")
    st.download_button(
        "CSV",
        data=lambda: tables.to_csv(proof, of),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=f"csv-{name}",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
        help=f"{proof.caption}, as a CSV file",
    )


def points(texts: Sequence[str], *, shown: int) -> None:
    """Short remarks as a list; those beyond `shown` fold away."""
    st.html(points_html(texts[:shown]))
    if len(texts) > shown:
        with st.expander(f"{len(texts) - shown} more"):
            st.html(points_html(texts[shown:]))


def command(text: str) -> None:
    """The next useful command: a click selects it whole."""
    # not st.code: its highlighter of two hundred languages takes a browser half a second to load
    st.html(f'<pre class="hc-code hc-command">{escape(text)}</pre>')


def log_text(text: str) -> None:
    """Text out of a log, as it stands: no markup of any kind is acted on."""
    st.html(f'<pre class="hc-code" tabindex="0" role="region" aria-label="Text of the log">{escape(text)}</pre>')


def nothing(what: str, remedy: str, *, run: str | None = None) -> None:
    """An empty state: what is missing and what to do."""
    finding(what[:1].upper() + what[1:])
    lead(remedy)
    if run:
        command(run)
