"""Dated list prices: the bundled catalog, our own history, rows compiled from both."""
