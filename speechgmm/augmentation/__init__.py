"""Copies of recordings as if made elsewhere: rooms, noise, levels, bands and codecs, on arrays of samples."""
