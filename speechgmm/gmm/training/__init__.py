"""Maximum likelihood by EM: a first model, updates, shards of frames, checkpoints and the loop."""
