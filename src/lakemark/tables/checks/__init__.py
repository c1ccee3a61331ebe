"""Checks on tables: what must hold of the rows, declared with the table, and asked on each write or on demand."""
