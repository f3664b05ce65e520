"""What to do about a result: recommendations, batch candidates, own servers, the words for a result."""
