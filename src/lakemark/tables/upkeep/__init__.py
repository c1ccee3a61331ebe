"""Maintenance: compaction, z-order, checkpoints, vacuum."""
