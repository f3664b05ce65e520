"""Hearing of a change in cost within minutes: sums of ten minutes, and a sequential detector over them."""
