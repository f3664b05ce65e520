"""Limits that a team sets on its bill and its log, and whether they are met."""
