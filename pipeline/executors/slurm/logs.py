"""Where jobs leave what is known of them, in the folder of their stage's plan. A task needs no more
than that, so nothing is imported here.
"""

LOGS = "slurm"
"""Folder of the jobs' output."""
ENDED = f"{LOGS}/ended"
"""Of how tasks ended."""
