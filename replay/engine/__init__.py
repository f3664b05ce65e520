"""A strategy applied to the traffic: stages in order, repricing, savings, run ids, limits."""
