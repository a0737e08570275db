"""What jobs are started with: `annealmix worker task ...` does a share of a stage's units,
`annealmix worker conduct ...` goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

WORKER = "worker"


def worker_parser() -> argparse.ArgumentParser:
    """Of the command `worker` and its words, which only jobs give."""
    parser = argparse.ArgumentParser(prog="annealmix", add_help=False)
    worker = parser.add_subparsers(required=True).add_parser(WORKER).add_subparsers(required=True)
    task = worker.add_parser("task")
    task.add_argument("plan", type=Path)
    task.add_argument("digest")
    task.add_argument("stage")
    task.add_argument("tasks", type=int)
    task.add_argument("package")
    task.add_argument("first", type=int)
    task.set_defaults(command=_task)
    conduct = worker.add_parser("conduct")
    conduct.add_argument("chain", type=Path)
    conduct.add_argument("digest")
    conduct.add_argument("package")
    conduct.set_defaults(command=_conduct)
    return parser


def _task(options: argparse.Namespace) -> int:
    from pipeline.commands.slurm.worker import do_task

    do_task(
        options.plan, options.digest, options.stage, options.tasks, options.package, options.first
    )
    return 0


def _conduct(options: argparse.Namespace) -> int:
    from pipeline.commands.slurm.conduct import conduct
    from pipeline.executors.slurm.package import refuse_other_package

    refuse_other_package(options.package)
    conduct(options.chain, options.digest)
    return 0
