"""Colours: one accent for what is new or wrong, greys for the rest, and one lasting colour per agent or model.

The eight hues come from the colour-blind safe sets of Okabe and Ito (2008) and of Paul Tol (SRON/EPS/TN/09-002, 2021),
moved a little so that each reads on a white and on a near-black page. Vermilion is kept back for the accent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

ACCENT = "#d55e00"
GOOD = "#0f8a6c"
GREY = "#8a929c"
SOFT_GREY = "rgba(138, 146, 156, 0.28)"
BAND = "rgba(138, 146, 156, 0.22)"
HUES: tuple[str, ...] = (
    "#0072b2",  # blue
    "#cc9200",  # amber
    "#12977a",  # green
    "#b5679f",  # purple
    "#45a3d9",  # sky
    "#7d5530",  # brown
    "#6a62c8",  # indigo
    "#8a9427",  # olive
)
OTHER = "all others"
UNNAMED = "(none)"


def assign(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name: the first eight of the sequence get hues, all others share the grey.

    Give the names in an order that lasts as logs grow (`views.ranked` does), so that a colour keeps its meaning.
    """
    given = {name: HUES[position] for position, name in enumerate(names[: len(HUES)])}
    return {name: given.get(name, GREY) for name in names} | {OTHER: GREY}


def colour(colours: Mapping[str, str], name: str) -> str:
    """The colour of a name; grey where it has none."""
    return colours.get(name, GREY)


def words_on(hex_colour: str) -> str:
    """White or near-black, whichever reads better on a colour (WCAG 2.1, relative luminance)."""
    levels = (int(hex_colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in levels)
    bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if 1.05 / (bright + 0.05) >= (bright + 0.05) / 0.05 else "#000000"


def fade(hex_colour: str, alpha: float) -> str:
    """`#rrggbb` as `rgba(...)`, for fills under a line of the same colour."""
    red, green, blue = (int(hex_colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def legend_order(colours: Mapping[str, str], present: Iterable[str]) -> list[str]:
    """The names that are present, in the order that every legend and every stack keeps; unknown ones last."""
    order = {name: position for position, name in enumerate(colours)}
    return sorted(set(present), key=lambda name: (name == OTHER, order.get(name, len(order)), name))
