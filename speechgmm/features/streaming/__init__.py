"""The front end for audio that comes in pieces."""
