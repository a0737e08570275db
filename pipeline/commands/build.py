"""The options that say where a build runs. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mixtures.errors import RecipeError

if TYPE_CHECKING:
    from pipeline.executors import Executor


def add_executor(build: argparse.ArgumentParser) -> None:
    """Add them to a command that builds; it has --workers and --tasks already."""
    build.add_argument(
        "--executor",
        choices=("local", "slurm", "ray"),
        default="local",
        help="where tasks run: on this machine, as jobs of Slurm, or on a Ray cluster",
    )
    build.add_argument("--profile", type=Path, metavar="FILE", help="slurm: what jobs need of the cluster, as YAML")
    build.add_argument("--status", action="store_true", help="slurm: how far the build is; nothing is submitted")
    build.add_argument("--wait", action="store_true", help="slurm: follow the build until it ends, submitting what is missing first")
    build.add_argument("--ray-address", metavar="A", help="ray: the cluster (RAY_ADDRESS, or the one that runs on this machine)")


def refuse_mixed(options: argparse.Namespace) -> None:
    """Refuse options of one executor with another: they would do nothing.

    Raises:
        RecipeError: names them.
    """
    shares = ("workers", "tasks")
    own = {"slurm": ("profile", "status", "wait"), "local": shares, "ray": (*shares, "ray_address")}
    foreign = {name for names in own.values() for name in names}.difference(own[options.executor])
    strangers = sorted(f"--{name.replace('_', '-')}" for name in foreign if getattr(options, name))
    if strangers:
        raise RecipeError(f"{', '.join(strangers)}: no option of --executor {options.executor}; leave it out")


def executor_of(options: argparse.Namespace) -> Executor:
    """The executor of a build that this process runs to its end.

    Raises:
        RecipeError: it needs a package that is not installed.
    """
    if options.executor == "ray":
        from pipeline.executors.ray import RayExecutor, open_ray

        open_ray()
        return RayExecutor(options.ray_address, options.workers, options.tasks)
    from pipeline.executors.local import LocalExecutor

    return LocalExecutor(options.workers, options.tasks)
