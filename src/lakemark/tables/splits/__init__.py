"""Splits into parts, and leaks between them."""
