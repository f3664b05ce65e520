"""Ingest into a lake: stages of tasks that any executor may run, twice if need be, and one commit at the end."""
