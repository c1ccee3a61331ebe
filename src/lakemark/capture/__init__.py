"""What a run is made of: code snapshot, environment lock, compute, reads; the receipt."""
