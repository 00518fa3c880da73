"""From models and frames to scores."""
