"""Slurm's commands, called without a shell, and what they answer."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import AnnealmixError, RecipeError

_TIMEOUT_SECONDS = (
    120  # a busy controller answers late; one that is down must not hold a build for ever
)


@dataclass(frozen=True)
class Job:
    """A job or element of an array that Slurm knows and that has not ended.

    job: its id, of an element that of its array; element: its index there, or N/A.
    """

    job: str
    element: str
    name: str
    state: str
    reason: str


def environment() -> dict[str, str]:
    """The environment of Slurm's commands: without what a surrounding job or the user's shell would
    make of our options.

    `SQUEUE_STATES=RUNNING` in a shell's profile would hide jobs that wait.
    """
    theirs = ("SLURM", "SBATCH_", "SALLOC_", "SQUEUE_", "SCANCEL_", "SCONTROL_")
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or not name.startswith(theirs)
    }


def submit(options: Sequence[str], script: Path, *arguments: str) -> str:
    """Submit a script with its arguments and return the id of the job.

    Raises:
        RecipeError: there is no sbatch here. AnnealmixError: Slurm refuses; the message is its own.
    """
    answer = _call("sbatch", "--parsable", *options, str(script), *arguments).strip()
    job = answer.partition(";")[0]
    if not job.isdigit():
        raise AnnealmixError(
            f"sbatch: answered {answer!r}, not the id of a job; look at `squeue --me` and cancel"
            " what it submitted"
        )
    return job


def cancel(jobs: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are no error."""
    if known := list(jobs):
        _call("scancel", "--quiet", *known)


def queued(name: str, user: int | None = None) -> list[Job]:
    """Jobs of a user whose name begins with `name` and that have not ended, elements of arrays one
    by one.

    Args:
        user: id of the user (default: this one).

    Raises:
        AnnealmixError: Slurm does not answer, or does not show other users' jobs; nothing may then
            be concluded.
    """
    mine = os.geteuid()
    user = mine if user is None else user
    found = []
    for line in _call(
        "squeue", "--noheader", "--all", "--array", f"--user={user}", "--format=%F|%K|%T|%r|%j"
    ).splitlines():
        fields = line.strip().split("|", 4)
        if len(fields) == 5 and fields[4].startswith(
            name
        ):  # a name of somebody else's job may hold a line break
            job, element, state, reason, called = fields
            found.append(Job(job, element, called, state, reason))
    if not found and user != mine and "jobs" in (_configured("PrivateData") or "").split(","):
        raise AnnealmixError(
            "squeue: this cluster shows nobody the jobs of others (PrivateData), and those asked"
            f" for are of user {user}"
        )
    return found


def max_array_size() -> int:
    """Elements that an array of this cluster may have: indices lie below Slurm's MaxArraySize."""
    found = _configured("MaxArraySize")
    if found is None or not found.isdigit() or int(found) < 2:
        raise AnnealmixError(
            "scontrol show config: names no MaxArraySize above 1; arrays of jobs are switched off"
            " on this cluster"
        )
    return int(found)


def cluster_name() -> str:
    """Of the cluster that is asked here; empty where it has none."""
    return _configured("ClusterName") or ""


def _configured(name: str) -> str | None:
    """A value of the cluster's configuration."""
    match = re.search(rf"^{name}\s*=\s*(\S+)", _call("scontrol", "show", "config"), re.MULTILINE)
    return match[1] if match else None


def _call(command: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [command, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # names of other jobs are any bytes
            env=environment(),
            timeout=_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise RecipeError(
            f"{command}: not found; --executor slurm needs a machine that submits to a Slurm"
            " cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise AnnealmixError(
            f"{command}: no answer within {_TIMEOUT_SECONDS} seconds; start the same command again"
            " later"
        ) from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise AnnealmixError(
            f"{command}: {said or f'exit code {done.returncode}'}; mend it, then start the same"
            " command again"
        )
    return done.stdout
