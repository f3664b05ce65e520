"""Which format a file has, where logs lie on this machine, and drafts of mappings for logs of another layout."""
