"""`annealmix plan`."""
