"""Running a recipe, and planning what a run would do."""
