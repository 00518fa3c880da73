"""From YAML text to a recipe and back, with the place of every key."""
