"""`annealmix export`."""
