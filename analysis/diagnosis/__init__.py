"""One day explained: its baseline, drivers, causes and the words for them."""
