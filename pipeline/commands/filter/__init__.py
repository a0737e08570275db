"""`annealmix filter`."""
