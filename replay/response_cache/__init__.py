"""Our own response cache: keys, lookups, tiers, curves and grids."""
