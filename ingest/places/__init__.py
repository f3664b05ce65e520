"""Where objects lie: a folder or an object store, by one address."""
