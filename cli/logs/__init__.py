"""Commands that bring logs in and write files out."""

TITLE = "Logs"
