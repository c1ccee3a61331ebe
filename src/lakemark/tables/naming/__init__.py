"""Names: the catalog, and what people type for a table."""
