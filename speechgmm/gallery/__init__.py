"""Enrolled speakers in a folder: enrol, extend, forget, and tell whose voice a recording is."""
