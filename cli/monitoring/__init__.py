"""Commands that look after a bill: gates for a build, and what follows the logs."""

TITLE = "Monitoring"
