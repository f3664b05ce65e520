"""The first picture of a visit as plain HTML: it stands at once, while the browser still loads what draws the real one.

Drawn from the same plotly figure, so both show the same bars, colours and names; `look.css` takes the sketch away as
soon as the figure has been drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from math import ceil, log10

import plotly.graph_objects as go

TICKS = 5  # at most


def bars(figure: go.Figure, words: str) -> str:
    """Stacked bars over days, with their scale and legend; `words` is what the picture shows, for a screen reader.

    Names in the figure are safe already (`figures.plain`), colours are the palette's.
    """
    traces = [trace for trace in figure.data if trace.type == "bar"]
    days: Sequence[date] = traces[0].x if traces else ()
    stacks = [[float(trace.y[number]) for trace in traces] for number in range(len(days))]
    step, top = scale(max(map(sum, stacks), default=0.0))
    key = "".join(f'<span><i style="background:{_of(trace)}"></i>{trace.name}</span>' for trace in traces)
    lines = "".join(
        f'<b style="bottom:{100 * number * step / top:.2f}%">{_tick(number * step, step)}</b>'
        for number in range(round(top / step) + 1)
    )
    columns = "".join(
        _column(stack, [_of(trace) for trace in traces], top, _opacity(traces, number))
        for number, stack in enumerate(stacks)
    )
    unit = escape(str(figure.layout.yaxis.title.text or ""))
    first, last = (f"{day.day} {day:%b}" for day in (days[0], days[-1])) if days else ("", "")
    ends = f"<span>{first}</span><span>{unit}</span><span>{last}</span>"
    return (
        f'<div class="hc-sketch" role="img" aria-label="{escape(words)}" style="height:{figure.layout.height}px">'
        f'<div class="hc-key">{key}</div><div class="hc-plot">{lines}<div class="hc-columns">{columns}</div></div>'
        f'<div class="hc-ends">{ends}</div></div>'
    )


def scale(most: float) -> tuple[float, float]:
    """The distance of round ticks and the axis' end for values up to `most`; at most TICKS above zero."""
    if most <= 0:
        return 1.0, 1.0
    rough = most / TICKS
    unit: float = 10.0 ** int(log10(rough) // 1)
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * (1 - 1e-9))
    return step, step * max(1, ceil(most / step - 1e-9))


def _column(stack: Sequence[float], hues: Sequence[str], top: float, opacity: float) -> str:
    whole, reached, stops = sum(stack), 0.0, []
    for amount, hue in zip(stack, hues, strict=True):
        if amount > 0:
            stops.append(f"{hue} {100 * reached / whole:.1f}% {100 * (reached + amount) / whole:.1f}%")
            reached += amount
    paint = f"linear-gradient(0deg,{','.join(stops)})" if stops else "none"
    return f'<i style="height:{100 * whole / top:.2f}%;background:{paint};opacity:{opacity:g}"></i>'


def _of(trace: go.Bar) -> str:
    return str(trace.marker.color)


def _opacity(traces: Sequence[go.Bar], number: int) -> float:
    given = traces[0].marker.opacity
    return float(given[number]) if isinstance(given, (list, tuple)) else 1.0


def _tick(value: float, step: float) -> str:
    return f"${value:,.{max(0, ceil(-log10(step) - 1e-9))}f}"
