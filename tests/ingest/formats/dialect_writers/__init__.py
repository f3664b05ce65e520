"""Writers of one call in the dialect of each log format, a few lines each; `DIALECTS` lists them by name."""

from __future__ import annotations

from dialect_writers import agents, gateways, providers, traces
from dialect_writers.truth import DIALECTS, Dialect, Truth

__all__ = ["DIALECTS", "Dialect", "Truth", "agents", "gateways", "providers", "traces"]
