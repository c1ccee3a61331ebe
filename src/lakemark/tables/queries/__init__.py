"""SQL over versions of tables."""
