"""The cheapest strategy that keeps a quality floor."""
