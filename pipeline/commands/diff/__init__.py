"""`annealmix diff`."""
