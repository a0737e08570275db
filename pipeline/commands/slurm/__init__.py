"""Commands on a Slurm cluster."""
