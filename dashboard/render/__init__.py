"""Figures, tables, cards and colours."""
