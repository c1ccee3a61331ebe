"""What people type in Python."""
