"""Commands that look for savings: caches, batches, parallel work, own servers."""

TITLE = "Savings"
