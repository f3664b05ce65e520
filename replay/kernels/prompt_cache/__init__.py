"""Compiled loops over prompt prefixes."""
