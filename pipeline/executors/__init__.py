"""Executors: what runs a stage's tasks. `local` uses the processes of this machine."""
