"""The cost of every call, and what it was computed from."""
