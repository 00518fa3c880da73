"""The results folder: writing it, reading it back, its report, and a gallery created from it."""
