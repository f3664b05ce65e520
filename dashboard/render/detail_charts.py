"""Pictures of parts: a session in time, shares of tiers, curves of a cache, the front between cost and quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go

from analysis.formatting import money, share
from dashboard.render.daily_charts import WIDEST_LABEL, axes, canvas, legend, plain
from dashboard.render.palette import ACCENT, GOOD, GREY, HUES, UNNAMED, colour, legend_order, words_on

NEAR = 1.6  # labels of values closer than this touch on a log axis on a phone
CLOCK = [  # ticks of a session: the finer line above, the day or year below it where it changes
    {"dtickrange": [None, 60_000], "value": "%H:%M:%S\n%-d %b %Y"},
    {"dtickrange": [60_000, 86_400_000], "value": "%H:%M\n%-d %b %Y"},
    {"dtickrange": [86_400_000, None], "value": "%-d %b\n%Y"},
]
MOST_AREAS = 80  # beyond, the innermost are drawn where a reader goes into one: they would be too small for a word


def timeline(calls: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> go.Figure:
    """Calls of a session in time order: height is dollars, colour is the agent. Takes rows of `hindcast calls`."""
    figure = canvas(height=280)
    names = legend_order(colours, (str(call["agent"] or UNNAMED) for call in calls))
    for name in names:
        mine = [call for call in calls if str(call["agent"] or UNNAMED) == name]
        figure.add_scatter(
            x=[call["start_time"] for call in mine],
            y=[float(call["cost_usd"] or 0) for call in mine],
            mode="markers", name=legend(name),
            marker={"color": colour(colours, name), "size": 9, "line": {"width": 0},
                    "symbol": ["x" if call["cost_usd"] is None else "circle" for call in mine]},
            error_y={"type": "data", "symmetric": False, "array": [0] * len(mine), "width": 0, "thickness": 1.2,
                     "arrayminus": [float(call["cost_usd"] or 0) for call in mine]},
            customdata=[
                plain(f"call {call['call_no']}, {call['model'] or 'no model'}: "
                      f"{money(None if call['cost_usd'] is None else Decimal(call['cost_usd']))}, "
                      f"{call['input_tokens'] or 0:,} tokens in, {call['output_tokens'] or 0:,} out")
                for call in mine
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    axes(figure, x=None, y="USD per call")
    return figure.update_xaxes(tickformat=None, tickformatstops=CLOCK, hoverformat="%H:%M:%S", nticks=6)


def context_by_turn(
    turns: Sequence[int], stacks: Mapping[str, Sequence[int]], usd: Sequence[Decimal], colours: Mapping[str, str]
) -> go.Figure:
    """The input tokens of each turn of a session, stacked by what they are; hovering adds what the input cost."""
    figure = canvas(height=320)
    for number, (source, counts) in enumerate(stacks.items()):
        figure.add_bar(
            x=list(turns), y=list(counts), name=plain(source),
            marker={"color": colour(colours, source), "line": {"width": 0}},
            customdata=[(f"{count:,}", money(cost)) for count, cost in zip(counts, usd, strict=True)],
            hovertemplate=("" if number else "<b>input: %{customdata[1]}</b><br>")
            + f"{plain(source, 40)}: %{{customdata[0]}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.08, hovermode="x unified")
    axes(figure, x="turn", y="input tokens")
    return figure.update_xaxes(showgrid=False, nticks=10, tickformat="d")


def hit_bars(names: Sequence[str], tiers: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> go.Figure:
    """Share of demand calls that each cache tier served, one bar per strategy."""
    figure = canvas(height=110 + 38 * len(names))
    for tier, shares in tiers.items():
        figure.add_bar(
            orientation="h", y=list(range(len(names))), x=[100 * share for share in shares], name=plain(tier),
            marker={"color": colour(colours, tier)},
            hovertemplate=f"{plain(tier, 40)}: %{{x:.1f}} %<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_yaxes(
        autorange="reversed", tickvals=list(range(len(names))), automargin=True, showgrid=False,
        ticktext=[plain(name, WIDEST_LABEL) for name in names],
    )  # fmt: skip
    figure.update_xaxes(rangemode="tozero")
    return axes(figure, x="% of calls", y=None)


def treemap(rows: Sequence[tuple[str, str, str, Decimal]], colours: Mapping[str, str]) -> go.Figure:
    """Dollars as areas: agent, inside it task, inside it model; the colour is the agent's."""
    figure = canvas(height=460)
    depth_of_model = 3 if len({model for _, _, model, _ in rows}) > 1 else 2  # one model alone says nothing
    sums: dict[tuple[str, ...], Decimal] = {}
    for *path, usd in rows:
        for depth in range(1, depth_of_model + 1):
            sums[tuple(path[:depth])] = sums.get(tuple(path[:depth]), Decimal(0)) + usd
    paths = sorted(sums)
    number = {path: f"n{position}" for position, path in enumerate(paths)}
    hues = [colour(colours, path[0]) for path in paths]
    figure.add_trace(
        go.Treemap(
            ids=[number[path] for path in paths],
            labels=[plain(path[-1], 30) for path in paths],
            parents=[number[path[:-1]] if len(path) > 1 else "" for path in paths],
            values=[float(sums[path]) for path in paths],
            branchvalues="total",
            text=[money(sums[path]) for path in paths],
            texttemplate="%{label}<br>%{text}",
            hovertemplate="%{label}: %{text}, %{percentRoot:.1%} of all<extra></extra>",
            marker={"colors": hues, "line": {"width": 1}},
            textfont={"color": [words_on(hue) for hue in hues]},
            maxdepth=3 if len(paths) <= MOST_AREAS else 2,
            sort=True,
        )
    )
    figure.update_layout(margin={"l": 0, "r": 0, "t": 4, "b": 4}, uniformtext={"minsize": 10, "mode": "hide"})
    return figure


def curve(
    at: Sequence[float], rates: Sequence[float], usd: Sequence[Decimal], labels: Sequence[str], *, x: str
) -> go.Figure:
    """Dollars that a cache saves a day, by its time to live or its size (log scale); hovering adds the hit rate."""
    figure = canvas(height=300)
    figure.add_scatter(
        x=list(at),
        y=[float(amount) for amount in usd],
        mode="lines+markers" if len(at) < 60 else "lines",
        line={"color": HUES[0], "width": 2.5},
        customdata=[
            f"{plain(label)}: {money(amount)} a day, hit rate {share(rate)}"
            for label, amount, rate in zip(labels, usd, rates, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    axes(figure, x=x, y="USD saved per day")
    ticks = _ticks(list(range(len(at))), 6)
    ticks = [i for i in ticks if i == ticks[-1] or at[i] * NEAR <= at[ticks[-1]]]  # the last would lie over it
    figure.update_xaxes(
        type="log", tickangle=0, tickvals=[at[i] for i in ticks], ticktext=[plain(labels[i]) for i in ticks]
    )
    return figure.update_yaxes(rangemode="tozero")


def front(
    points: Sequence[tuple[Decimal, float, str]], *, chosen: tuple[Decimal, float], floor: float, logged: Decimal
) -> go.Figure:
    """Policies between cost and quality: (dollars, least quality, what is in it), and the chosen one as replayed."""
    figure = canvas(height=360)
    figure.add_scatter(
        x=[float(usd) for usd, _, _ in points],
        y=[100 * quality for _, quality, _ in points],
        mode="lines+markers",
        line={"color": GREY, "width": 1.5, "shape": "hv"},
        marker={"size": 10, "color": [HUES[0] if quality >= floor else ACCENT for _, quality, _ in points]},
        customdata=[
            f"{money(usd)}, at least {share(quality)} of today's quality: {plain(what)}"
            for usd, quality, what in points
        ],
        hovertemplate="%{customdata}<extra></extra>",
        name="policies",
    )
    marked = (("logged", logged, 1.0, GREY, "diamond"), ("this strategy", *chosen, GOOD, "star"))
    for name, usd, quality, hue, symbol in marked:
        figure.add_scatter(
            x=[float(usd)], y=[100 * quality], mode="markers+text", marker={"size": 15, "color": hue, "symbol": symbol},
            text=[name], textposition="bottom center", cliponaxis=False, name=name,
            customdata=[f"{name}: {money(usd)}, at least {share(quality)} of today's quality"],
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(
        y=100 * floor, line={"color": ACCENT, "width": 1.5, "dash": "dash"},
        annotation={"text": f"floor {share(floor)}", "xanchor": "right", "x": 1, "font": {"size": 12}},
    )  # fmt: skip
    figure.update_layout(showlegend=False, clickmode="event+select")
    return axes(figure, x="USD over the window", y="least quality, % of logged")


def _ticks(positions: Sequence[int], most: int) -> list[int]:
    """At most `most` of the positions, evenly apart, the last among them."""
    if len(positions) <= most:
        return list(positions)
    step = (len(positions) - 1) / (most - 1)
    return sorted({positions[round(number * step)] for number in range(most)})
