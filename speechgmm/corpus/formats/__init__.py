"""Formats of corpora on disk, one module each, and detection of the layout of a folder."""
