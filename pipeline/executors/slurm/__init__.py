"""Builds on a Slurm cluster: stages as job arrays, and between them a job that goes on with the
build.

    profile.py   what a user says of a cluster, strictly read
    client.py    sbatch, squeue, scancel and scontrol, and how what they print is read
    arrays.py    a stage's tasks as job arrays, through datatrove's executor
    chain.py     the record of one build on the cluster: its frozen request, and which jobs were
                 submitted
    executor.py  submits a stage, and the job that goes on after it
    package.py   the code that submitted, which every job must find again

What the jobs run, and how far they are, is in `pipeline.commands.slurm`.

A stage is one or more job arrays and, after all of them, one job that goes on with the build: it
finds what is done by its done-records, as the same command on one machine would, and submits the
next stage. Nothing but paths and hashes travels to a node: it reads the plan that was frozen, and
refuses another.
"""
