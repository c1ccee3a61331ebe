"""Experiments and runs: the spool that loses nothing, and the store that answers questions."""
