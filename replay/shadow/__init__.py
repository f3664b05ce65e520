"""A sample of logged calls asked again of another model, within a budget."""
