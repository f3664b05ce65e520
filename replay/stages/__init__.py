"""The stages of a strategy but the caches: rules, routing, eligibility, compression, batch."""
