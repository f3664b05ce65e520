"""Commands that say what was spent and why."""

TITLE = "Costs"
