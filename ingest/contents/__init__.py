"""What a call's messages hold: text, hashes, cache keys, token counts, redaction."""
