"""Feature stores: features on disk, computed from recordings or imported."""
