"""From samples to frames of features, shape (T, D)."""
