"""Steps from frames to frames: speech activity, labels, deltas and normalisation."""
