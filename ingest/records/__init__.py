"""One canonical call and its fields: usage, time, identity, provider and agent names."""
