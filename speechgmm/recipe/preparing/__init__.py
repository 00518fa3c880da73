"""Before a run: a check of a recipe and its data, a survey of recordings, and a first recipe for them."""
