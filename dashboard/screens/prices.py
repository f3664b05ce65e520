"""Page."""

from __future__ import annotations

from dashboard import elements


def show() -> None:
    """Draw the page."""
    elements.nothing("Not here yet", "This page is being built.")
