"""The logged calls as arrays, prompts and rule columns."""
