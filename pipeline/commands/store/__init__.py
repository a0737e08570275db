"""`annealmix store`."""
