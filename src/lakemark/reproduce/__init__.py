"""Evaluate a receipt again in a rebuilt world, grade it, and explain a change by real runs."""
