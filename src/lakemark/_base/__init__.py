"""What everything stands on: errors, ids, clock, hashing, references. Standard library only."""
