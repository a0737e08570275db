"""The stages: ingest, score, near, select, write."""
