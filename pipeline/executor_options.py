"""The options of a build that say where its tasks run. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from mixtures.errors import RecipeError

if TYPE_CHECKING:
    from pipeline.executors import Executor


def add_executor(build: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """Add --executor and what belongs to it. positive: reads a number above 0."""
    build.add_argument(
        "--executor", choices=("local", "ray"), default="local", help="where tasks run: processes of this machine (local), or a Ray cluster"
    )
    build.add_argument("--ray-address", metavar="A", help="the Ray cluster (RAY_ADDRESS, or the one that runs on this machine)")
    build.add_argument("--workers", type=positive, metavar="N", help="tasks at a time (the cores, as far as memory allows)")
    build.add_argument("--tasks", type=positive, metavar="N", help="shares in which each stage's units are handed out (a few a worker)")


def executor_of(options: argparse.Namespace) -> Executor:
    """The executor that a build was asked for.

    Raises:
        RecipeError: options do not go together, or a package is missing.
    """
    if options.ray_address is not None and options.executor != "ray":
        raise RecipeError(f"--ray-address {options.ray_address}: is for --executor ray")
    if options.executor == "ray":
        from pipeline.executors.ray import RayExecutor, open_ray

        open_ray()
        return RayExecutor(options.ray_address, options.workers, options.tasks)
    from pipeline.executors.local import LocalExecutor

    return LocalExecutor(options.workers, options.tasks)
