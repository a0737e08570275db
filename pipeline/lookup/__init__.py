"""A finished mix or its store, asked about one document."""
