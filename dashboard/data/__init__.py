"""What the pages read: cached results, cells of the ledger, background jobs, strategy files."""
