"""What a user asks for: recipes, sources, tokenizers, quality steps, filters."""
