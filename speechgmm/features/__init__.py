"""Features: the front end, streaming, the store, imported features and files of other programs."""
