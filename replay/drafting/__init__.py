"""Strategies drafted from what a store holds."""
