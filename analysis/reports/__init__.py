"""Tables over the store: cost by dimension, calls, templates, duplicates, prices, FOCUS."""
