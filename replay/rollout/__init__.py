"""Statistics of a rollout as pure functions of arrays: who is treated, what it changed, how sure, and what next."""
