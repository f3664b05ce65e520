"""Parsed calls on their way to the store: batches, Arrow files, deduplication, publishing."""
