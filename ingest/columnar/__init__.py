"""Readers that turn whole pieces of a log into Arrow columns, for the formats whose volume asks for it."""
