"""Commands that choose, replay and judge strategies."""

TITLE = "Strategies"
