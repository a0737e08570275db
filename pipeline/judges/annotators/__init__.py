"""Annotators: what is noted of every text in the reading that ingests it."""
