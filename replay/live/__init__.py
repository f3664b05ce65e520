"""A strategy applied to the calls of a running program: the rules, keys and caches that the replay simulates."""
