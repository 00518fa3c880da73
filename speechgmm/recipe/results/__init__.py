"""The folder of results: writing it, reading it back, its report and a gallery made of it."""
