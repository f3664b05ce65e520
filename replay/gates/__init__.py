"""Gates that need a replay: a strategy in force, and one that is being proposed."""
