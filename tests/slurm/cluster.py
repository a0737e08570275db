"""A Slurm cluster on this machine, and builds that are given to it.

The scripts that start and stop it come with the real data (`shared/slurm`); Debian's packages
slurmctld, slurmd, slurm-client and munge must be installed, and the tests run as root, as these
scripts need.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtures.recipe.load import load_recipe
from mixtures.stream.arms.load import load_study
from pipeline.build.request import BuildRequest
from pipeline.commands.slurm.conduct import launch
from pipeline.commands.slurm.request import Asked
from pipeline.commands.slurm.status import Status, follow, status_of
from pipeline.executors.slurm.chain import Chain
from pipeline.executors.slurm.profile import Profile
from pipeline.inputs.listing import DataFolders
from tests.pipeline.corpus import LAYOUT

MAX_ARRAY_SIZE = 4  # so small that most stages need several arrays
NODES = 2
PATIENCE_SECONDS = 180


def missing(shared: Path) -> str | None:
    """Why no cluster can be started here."""
    commands = [
        name
        for name in ("slurmctld", "slurmd", "sbatch", "squeue", "munged")
        if shutil.which(name) is None
    ]
    if commands:
        return f"needs {', '.join(commands)}: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "needs root, as the scripts that start a cluster do"
    return (
        None
        if (shared / "slurm" / "up.sh").is_file()
        else f"needs {shared.name}/slurm/up.sh, which starts a cluster"
    )


@contextmanager
def running(shared: Path, max_array_size: int = MAX_ARRAY_SIZE) -> Iterator[Path]:
    """A cluster of two nodes; yields its folder. Slurm's commands find it by SLURM_CONF."""
    folder = Path(tempfile.mkdtemp(prefix="annealmix-slurm-"))
    environment = {
        **os.environ,
        "MAX_ARRAY_SIZE": str(max_array_size),
        "SLURM_TEST_PORT": str(_free_ports(3)),
    }
    subprocess.run(
        ["bash", str(shared / "slurm" / "up.sh"), str(folder), str(NODES)],
        env=environment,
        check=True,
        timeout=120,
    )
    os.environ["SLURM_CONF"] = str(folder / "etc" / "slurm.conf")
    try:
        yield folder
    finally:
        subprocess.run(
            ["bash", str(shared / "slurm" / "down.sh"), str(folder)], check=False, timeout=120
        )
        del os.environ["SLURM_CONF"]
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> int:
    """The first of some neighbouring ports that nobody listens on."""
    for port in range(17000 + os.getpid() % 1000, 30000, 10):
        try:
            for offset in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise AssertionError("no free port")


@dataclass(frozen=True)
class Given:
    """A build that is given to Slurm, again and again if need be."""

    asked: Asked
    profile: Profile

    @classmethod
    def of(
        cls,
        recipe: Path,
        work: Path,
        data: Path,
        profile: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Given:
        """A recipe over small files, with small slices."""
        request = BuildRequest(
            load_recipe(str(recipe)),
            work / "out",
            work / "store",
            DataFolders(data),
            **{**LAYOUT, **more},
        )
        return cls(Asked(request), Profile.model_validate({"memory": "100M", **(profile or {})}))

    @classmethod
    def of_study(
        cls, file: Path, work: Path, profile: Mapping[str, Any] | None = None, **more: Any
    ) -> Given:
        """A study with data/ and filters/ beside it, with small slices."""
        filters = file.parent / "filters"
        study = load_study(file, filters)
        request = BuildRequest(
            study.base,
            work / "out",
            work / "store",
            DataFolders(file.parent / "data"),
            **{**LAYOUT, **more},
        )
        asked = Asked(request, filters, study)
        return cls(asked, Profile.model_validate({"memory": "200M", **(profile or {})}))

    @property
    def request(self) -> BuildRequest:
        """What is built, and where."""
        return self.asked.request

    @property
    def chain(self) -> Chain:
        """Its record."""
        return Chain.of(self.request.store, self.request.out)

    def launch(self) -> None:
        """Give it."""
        launch(self.asked, self.profile)

    def follow(self) -> Status:
        """Wait until nothing of it is left to Slurm."""
        return follow(self.chain, sleep=lambda _: time.sleep(0.3))

    def finish(self) -> Path:
        """Give it, and wait until the mix is there."""
        self.launch()
        status = self.follow()
        assert status.state == "finished", self.explain(status)
        return self.request.out

    def status(self) -> Status:
        """How far it is."""
        return status_of(self.chain)

    def explain(self, status: Status) -> str:
        """What the jobs printed, for a test that fails."""
        logs = [*self.chain.folder.glob("*.out"), *self.request.store.glob("work/*/slurm/*.out")]
        return "\n".join(
            [status.message, *(f"== {log.name}\n{log.read_text()[-2000:]}" for log in logs)]
        )


def slurm(*words: str) -> str:
    """Give one of Slurm's commands."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def until(happened: Callable[[], Any]) -> Any:
    """Wait for something, and return it."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while not (found := happened()):
        assert time.monotonic() < limit, f"did not happen; {slurm('scontrol', 'show', 'jobs')}"
        time.sleep(0.1)
    return found


def rest() -> None:
    """Cancel all jobs, and wait until none is left and all nodes are free."""
    if jobs := set(slurm("squeue", "--noheader", "--format=%A").split()):
        slurm("scancel", "--quiet", *jobs)
    until(lambda: not slurm("squeue", "--noheader"))
    free = ("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N")
    until(lambda: len(slurm(*free).split()) == NODES)


def kill_worker(words: str) -> bool:
    """kill -9 one process whose command line holds these words; False if there is none."""
    found = subprocess.run(["pgrep", "-f", words], capture_output=True, text=True).stdout.split()
    for process in found[:1]:
        os.kill(int(process), signal.SIGKILL)
    return bool(found)
