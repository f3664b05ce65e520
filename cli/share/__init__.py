"""Commands for other readers: dashboard, report, demo."""

TITLE = "Share"
