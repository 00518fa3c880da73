"""Features as samples come in: the same steps, a block at a time."""
