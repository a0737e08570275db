"""The formats of a mix: the index, the tables, the manifest and what it claims."""
