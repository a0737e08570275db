"""`annealmix build`."""
