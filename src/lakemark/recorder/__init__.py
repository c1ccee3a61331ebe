"""What runs inside a user's process: hooks that see what the script reads, fits and scores. Standard library only."""
