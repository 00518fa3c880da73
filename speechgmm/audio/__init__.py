"""Sound: reading files and headers, and checks of samples."""
