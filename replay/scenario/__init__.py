"""What announced prices, other models, commitments and seat plans would make of the bill to come."""
