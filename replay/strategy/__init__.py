"""The strategy file: its schema, conditions, and where in the YAML a value stands."""
