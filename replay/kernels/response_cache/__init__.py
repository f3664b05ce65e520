"""Compiled loops over cache lookups."""
