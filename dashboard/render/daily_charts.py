"""Pictures as pure functions, data in and a plotly Figure out, shared by the pages and the report.

Bars start at zero, axes carry their unit, legends keep one order, and names from logs are shown as they are written.
The finding stands above a picture as its heading; `alt` texts for screen readers come with the data's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from analysis import time_zone
from analysis.anomalies.annotations import Annotation
from analysis.formatting import day as day_text
from analysis.formatting import money
from dashboard.render.palette import ACCENT, BAND, GOOD, GREY, SOFT_GREY, colour, fade

HEIGHT = 340
WIDEST_LABEL = 26
LEGEND_CHARS = 18  # two columns of names fit beside each other on a phone
STEP_CHARS = 36
LONG = 300  # days
FEW = 7
CAPTION_CHARS = 56
AXIS_ROOM = 28  # pixels of an axis' labels, or of its title
CLOSE = Decimal("0.1")  # of a picture's height: two labels would overlap
MOST_ANNOTATED = 12  # lines that can be told apart


@dataclass(frozen=True)
class Step:
    """One bar of a waterfall: `kind` is `total` for a level, `change` for a difference in dollars."""

    label: str
    amount: Decimal
    kind: str = "change"
    detail: str = ""


@dataclass(frozen=True)
class Line:
    """One trajectory: dollars per day; None where nothing is known. A band is drawn where both bounds are given."""

    name: str
    days: Sequence[date]
    usd: Sequence[Decimal | None]
    colour: str
    dashed: bool = False
    filled: bool = False
    low: Sequence[Decimal] | None = None
    high: Sequence[Decimal] | None = None


def plain(text: str, width: int | None = None) -> str:
    """Text from a log for a plotly label: its markup characters become entities; with `width`, broken into lines."""
    flat = " ".join(str(text).split())
    parts = [flat] if width is None else wrap(flat, width, break_on_hyphens=False)[:3] or [flat]
    safe = (part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "% {") for part in parts)
    return "<br>".join(safe)


def legend(name: str, most: int = LEGEND_CHARS) -> str:
    """A name for a legend: a long one loses its middle, as ends tell names apart. Hovering shows it whole."""
    flat = " ".join(str(name).split())
    half = (most - 1) // 2
    return plain(flat if len(flat) <= most else f"{flat[: most - 1 - half]}…{flat[-half:]}")


def trajectory(
    days: Sequence[date],
    stacks: Mapping[str, Sequence[Decimal]],
    colours: Mapping[str, str],
    *,
    spike: date | None = None,
    expected: tuple[Decimal, Decimal] | None = None,
    budget: Decimal | None = None,
    incomplete: Sequence[date] = (),
    annotations: Sequence[Annotation] = (),
    unit: str = "USD per day",
    text: Callable[[Decimal | None], str] = money,
    flagged: Sequence[date] = (),
) -> go.Figure:
    """Daily amounts as stacked bars in the order of `stacks`, with the spike's day named and `flagged` ones marked.

    `expected` is the range that the spike's day was expected in; `budget` a line in dollars a day.
    Bars of `incomplete` days are paler: the log does not cover those days whole. `annotations` are dotted lines.
    """
    figure = canvas()
    cut = set(incomplete)
    opacity = [0.45 if day in cut else 1.0 for day in days]
    totals = {day: sum((amounts[i] for amounts in stacks.values()), Decimal(0)) for i, day in enumerate(days)}
    for number, (name, amounts) in enumerate(stacks.items()):
        figure.add_bar(
            x=list(days),
            y=[float(amount) for amount in amounts],
            name=legend(name),
            marker={"color": colour(colours, name), "opacity": opacity, "line": {"width": 0}},
            # a reader who hovers gets the day's total first
            customdata=[
                (text(amount), text(all_names)) for amount, all_names in zip(amounts, totals.values(), strict=True)
            ],
            hovertemplate=("" if number or len(stacks) == 1 else "<b>all: %{customdata[1]}</b><br>")
            + f"{plain(name, 40)}: %{{customdata[0]}}<extra></extra>",
            unselected={"marker": {"opacity": 1.0}},
        )
    top = max([*totals.values(), *(expected or ()), budget or Decimal(0)], default=Decimal(0))
    if spike in totals:
        when = f"week of {day_text(spike)}" if unit.endswith("week") else day_text(spike)
        _mark(
            figure,
            spike,
            totals[spike],
            f"{when}: {text(totals[spike])}",
            over=top,
        )
    near = expected is not None and budget is not None and 0 <= budget - expected[1] < top * CLOSE
    if expected is not None:
        low, high = expected
        figure.add_hrect(
            y0=float(low), y1=float(high), fillcolor=BAND, line={"width": 0}, layer="below",
            annotation={"text": "" if near else "expected range", "font": {"size": 11}, "xanchor": "left",
                        "yanchor": "bottom"},
            annotation_position="top left",
        )  # fmt: skip
    if budget is not None:
        figure.add_hline(
            y=float(budget),
            line={"color": GREY, "width": 1.5, "dash": "dash"},
            annotation={
                "text": f"budget {money(budget)} a day{', grey: expected range' * near}",
                "xanchor": "left",
                "x": 0,
                "font": {"size": 12},
            },
        )
    _annotate(figure, days, annotations, weekly=unit.endswith("week"))
    if odd := [day for day in flagged if day in totals]:
        figure.add_scatter(
            x=odd, y=[float(totals[day] + top / 40) for day in odd], mode="markers", name="stands out",
            marker={"symbol": "triangle-down", "size": 8, "color": ACCENT}, hoverinfo="skip", showlegend=True,
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.18, hovermode="x unified", clickmode="event+select")
    return years(axes(figure, x=None, y=unit), days)


def waterfall(steps: Sequence[Step], *, worse_is_up: bool = True) -> go.Figure:
    """Steps from one level to another, read from top to bottom, so that long names stay readable on a phone.

    Levels are grey; a change for the worse has the accent, one for the better is green.
    """
    figure = canvas(height=80 + 42 * len(steps))
    positions = list(range(len(steps)))
    figures = [money(step.amount, sign=step.kind != "total") for step in steps]
    up, down = (ACCENT, GOOD) if worse_is_up else (GOOD, ACCENT)
    figure.add_trace(
        go.Waterfall(
            orientation="h",
            y=positions,
            x=[float(step.amount) for step in steps],
            measure=["absolute" if step.kind == "total" else "relative" for step in steps],
            customdata=[plain(f"{step.label}, {step.detail}".strip(", "), 60) for step in steps],
            text=figures,
            textposition="none",
            hovertemplate="%{customdata}: %{text}<extra></extra>",
            connector={"line": {"color": SOFT_GREY, "width": 1}},
            increasing={"marker": {"color": up}},
            decreasing={"marker": {"color": down}},
            totals={"marker": {"color": GREY}},
        )
    )
    # at the right end of each bar, also of one that falls: on its left they would cover the names
    figure.add_scatter(
        x=_right_ends(steps), y=positions, mode="text", text=[f" {text}" for text in figures],
        textposition="middle right", cliponaxis=False, hoverinfo="skip",
    )  # fmt: skip
    reach = _reach(steps)
    figure.update_layout(showlegend=False, waterfallgap=0.35)
    figure.update_yaxes(
        autorange="reversed", tickvals=positions, ticktext=[_two_lines(step) for step in steps],
        showgrid=False, automargin=True,
    )  # fmt: skip
    low, high = reach[0] * 1.02, reach[1] * 1.02 or 1.0
    figure.update_xaxes(range=[low, high], nticks=3, tickangle=0)  # each bar carries its figure
    figure.update_layout(margin={"r": 82})  # room beside the bars for their figures
    return axes(figure, x="USD", y=None)


def comparison(
    lines: Sequence[Line],
    *,
    spike: date | None = None,
    annotations: Sequence[Annotation] = (),
    unit: str = "USD per day",
    text: Callable[[Decimal | None], str] = money,
) -> go.Figure:
    """What each day cost and would have cost, in one picture: the mountain and the hill. Any other figure of days, too,
    with its `unit` and how its values read."""
    figure = canvas(height=380)
    for line in lines:
        if line.low is not None and line.high is not None:
            figure.add_scatter(
                x=[*line.days, *reversed(line.days)],
                y=[*map(float, line.high), *map(float, reversed(line.low))],
                mode="none", fill="toself", fillcolor=fade(line.colour, 0.22), hoverinfo="skip",
                showlegend=False, name=plain(f"{line.name} range"), legendgroup=plain(line.name),
            )  # fmt: skip
    for line in lines:
        figure.add_scatter(
            x=list(line.days),
            y=[None if amount is None else float(amount) for amount in line.usd],
            name=legend(line.name),
            legendgroup=plain(line.name),
            mode="lines+markers" if len(line.days) < 3 else "lines",
            line={"color": line.colour, "width": 2.5, "dash": "dot" if line.dashed else "solid"},
            fill="tozeroy" if line.filled else None,
            fillcolor=fade(line.colour, 0.18) if line.filled else None,
            customdata=[text(amount) for amount in line.usd],
            hovertemplate=f"{plain(line.name, 40)}: %{{customdata}}<extra></extra>",
        )
    if spike is not None:
        for line in lines[:1]:
            at = dict(zip(line.days, line.usd, strict=True)).get(spike)
            if at is not None:
                reach = [usd for drawn in lines for usd in (*drawn.usd, *(drawn.high or ())) if usd is not None]
                _mark(figure, spike, at, day_text(spike), over=max(reach))
    _annotate(figure, [day for line in lines[:1] for day in line.days], annotations)
    figure.update_layout(hovermode="x unified", showlegend=len(lines) > 1)
    figure.update_yaxes(rangemode="tozero")
    return years(axes(figure, x=None, y=unit), [day for line in lines[:1] for day in line.days])


# -- what all pictures share -------------------------------------------------------------------------------------------


def canvas(height: int = HEIGHT) -> go.Figure:
    """An empty figure in the shape that all share."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 8, "t": 8, "b": 0, "pad": 4},
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.02,
            "xanchor": "left",
            "x": 0,
            "traceorder": "normal",
            # a font of the machine: a file would be drawn with another one than was measured, and names cut
            "font": {"size": 11, "family": "Arial, Helvetica, sans-serif"},
        },
        font={"size": 13},
        dragmode=False,
        hoverlabel={"align": "left"},
    )
    return figure


def axes(figure: go.Figure, *, x: str | None, y: str | None) -> go.Figure:
    """Name the axes with their units; `x=None` is an axis of days."""
    figure.update_xaxes(title={"text": x} if x else None, fixedrange=True, automargin=True, zeroline=False)
    figure.update_yaxes(title={"text": y} if y else None, fixedrange=True, automargin=True)
    for update, name in ((figure.update_xaxes, x), (figure.update_yaxes, y)):
        if name and name.startswith("USD"):
            update(tickprefix="$", separatethousands=True, exponentformat="none")
    if x is None:
        figure.update_xaxes(type="date", tickformat="%-d %b", showgrid=False, hoverformat="%a %-d %b %Y", nticks=8)
    return figure


def years(figure: go.Figure, days: Sequence[date]) -> go.Figure:
    """Months with their years on an axis of days, where the days span so many that a date alone would not tell."""
    if days and (max(days) - min(days)).days > LONG:
        figure.update_xaxes(tickformat="%b %Y", nticks=6)
    if days and (max(days) - min(days)).days <= FEW:  # else plotly would name a day twice
        figure.update_xaxes(dtick=86_400_000, tick0=min(days).isoformat())
    return figure


def captioned(figure: go.Figure, caption: str) -> go.Figure:
    """The figure with small words below it, in lines that fit on a phone: what it is of, also where it is exported."""
    lines = wrap(" ".join(caption.split()), CAPTION_CHARS, break_on_hyphens=False)
    below = AXIS_ROOM * (2 if figure.layout.xaxis.title.text else 1)
    room = below + 14 * len(lines)
    figure.update_layout(height=(figure.layout.height or HEIGHT) + room, margin={"b": room})
    # beside long names the plot is narrower than the words on a phone: they end where the picture does
    named = figure.layout.yaxis.ticktext is not None
    return figure.add_annotation(
        text="<br>".join(plain(line) for line in lines), x=int(named), xref="paper",
        xanchor="right" if named else "left", xshift=(figure.layout.margin.r or 0) if named else 0, y=0, yref="paper",
        yanchor="top", yshift=-below, showarrow=False, align="left", font={"size": 10}, name="caption",
    )  # fmt: skip


def _mark(figure: go.Figure, day: date, height: Decimal, text: str, *, over: Decimal) -> None:
    """Name a day over its bar or point, above all that reaches up to `over`: on a phone neighbours are close."""
    figure.add_annotation(
        x=day, y=float(height), text=f"<b>{plain(text)}</b>", showarrow=True, arrowhead=0, arrowwidth=1.5,
        arrowcolor=ACCENT, ax=0, ayref="y", ay=float(over) * 1.1, yanchor="bottom",
        font={"color": ACCENT, "size": 13}, xanchor="auto",
    )  # fmt: skip
    figure.update_yaxes(range=[0, float(over) * 1.2 or 1.0])


def _annotate(
    figure: go.Figure, days: Sequence[date], annotations: Sequence[Annotation], *, weekly: bool = False
) -> None:
    """A dotted line on each day (or week) of `days` on which something was marked, with the texts beside it."""
    texts: dict[date, list[str]] = {}
    for one in annotations:
        day = time_zone.day_of(one.time)
        day -= timedelta(days=day.weekday() if weekly else 0)
        if day in days:
            texts.setdefault(day, []).append(one.text)
    for day, said in list(texts.items())[-MOST_ANNOTATED:]:
        figure.add_shape(
            type="line", x0=day, x1=day, y0=0, y1=1, yref="paper", line={"color": GREY, "width": 1, "dash": "dot"}
        )
        figure.add_annotation(
            x=day, y=1, yref="paper", text=legend("; ".join(said), STEP_CHARS), hovertext=plain("; ".join(said), 60),
            textangle=-90, showarrow=False, xanchor="right", yanchor="top", font={"size": 11},
        )  # fmt: skip


def _two_lines(step: Step) -> str:
    """A step's place, and under it in small what changed there; a third line would run into the next step."""
    small = f'<br><span style="font-size:11px">{legend(step.detail, STEP_CHARS)}</span>' if step.detail else ""
    return legend(step.label, STEP_CHARS) + small


def _right_ends(steps: Sequence[Step]) -> list[float]:
    """The level at which each bar ends on its right."""
    level, ends = 0.0, []
    for step in steps:
        before = 0.0 if step.kind == "total" else level
        level = before + float(step.amount)
        ends.append(max(before, level))
    return ends


def _reach(steps: Sequence[Step]) -> tuple[float, float]:
    """The lowest and the highest level that a waterfall touches."""
    level, low, high = 0.0, 0.0, 0.0
    for step in steps:
        level = float(step.amount) if step.kind == "total" else level + float(step.amount)
        low, high = min(low, level), max(high, level)
    return low, high


def describe(figure: go.Figure) -> dict[str, Any]:
    """The picture's data as plain values, for tests and exports."""
    return {"traces": [trace.to_plotly_json() for trace in figure.data]}
