"""One small sample per log format, and the writers that make them from one set of calls."""
