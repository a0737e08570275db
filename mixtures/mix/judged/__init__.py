"""What a manifest says of documents that were judged, and of those that stand in their places;
`mixtures.audit.judged` holds it against itself and the recipe.
"""
