"""Enrolled speakers in a folder: enrol, extend and forget them, and recognise them in recordings."""
