"""The synthetic talkers: seeded synthetic speech, so that everything runs without a download."""
