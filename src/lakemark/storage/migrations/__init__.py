"""The steps from an empty database, or an older one, to the schema of today; Alembic runs them, from code."""
