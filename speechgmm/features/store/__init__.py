"""The feature store: shards of frames on disk, memory-mapped, with an index."""
