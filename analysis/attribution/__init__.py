"""A change of cost split into drivers that sum to it."""
