"""Fitted models: what they are by content, and how they are kept."""
