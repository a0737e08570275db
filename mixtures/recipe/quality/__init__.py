"""Quality steps of a source: their arguments, and their order."""
