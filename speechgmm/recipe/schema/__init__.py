"""What a recipe may say: the sections, and the recipe and its sweep."""
