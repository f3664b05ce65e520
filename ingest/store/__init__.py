"""The DuckDB file: opening, schema, the lock of its writer."""
