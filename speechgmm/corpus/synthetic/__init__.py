"""The embedded talkers: seeded synthetic speech, so that everything runs with no download."""
