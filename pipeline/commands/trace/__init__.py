"""`annealmix trace`."""
