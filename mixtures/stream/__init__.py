"""Which documents a quota takes, and in which order they stand."""
