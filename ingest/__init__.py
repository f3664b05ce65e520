"""Logs in: format readers, canonical calls and the DuckDB store."""

__version__ = "0.1.0"
