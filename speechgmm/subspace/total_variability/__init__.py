"""Total variability: i-vectors, their training and extraction."""
