"""The sources of a build: which they are, what is read of them, how far they are tokenized."""
