"""`annealmix audit`."""
