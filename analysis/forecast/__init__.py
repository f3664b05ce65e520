"""What the days to come will cost if nothing else changes, and what commitments and plans would make of it."""
