"""What the pages read: cached results, rollups, background jobs, strategy files."""
