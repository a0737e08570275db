"""Quality steps of a recipe, done with datatrove's filters."""
