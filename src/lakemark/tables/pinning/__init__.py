"""What is kept: pins, tags, markers for other homes, verification, clones."""
