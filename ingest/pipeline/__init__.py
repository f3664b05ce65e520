"""One ingest from files to the published store: tasks, worker processes, following a growing file."""
