"""Differences between two versions."""
