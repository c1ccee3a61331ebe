"""Delta tables: read, write, history, time travel, pins that vacuum obeys, content fingerprints."""
