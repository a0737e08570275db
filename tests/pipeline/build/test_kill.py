"""A build that is killed at any moment shows nothing at its final place, and the same command
finishes it with the same bytes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mixtures.mix import manifest as manifests
from tests.pipeline.corpus import contents, prose, sharded, write_files, write_recipe

ROOT = Path(__file__).resolve().parents[3]
SOURCES: dict[str, dict[str, Any]] = {"a": {"weight": 1}, "b": {"weight": 4, "keys": [0, 0.8]}}
BUILD = """
import sys
from pathlib import Path
from typing import Any
from pipeline.build.sources import needs
from pipeline.inputs import survey
from pipeline.stages import select
from tests.pipeline.corpus import make
if __name__ == "__main__":
    survey.GROUP_BYTES, needs.SEGMENT_BYTES, select.PARTITION_DOCUMENTS = (1, 1), 20_000, 500
    work = Path(sys.argv[1])
    make(work / "recipes" / "mix.yaml", work, work.parent / "data", workers=int(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    for name, texts in {"a": prose(21, 600), "b": [*prose(22, 1800), *prose(21, 50)]}.items():
        write_files(folder / "data", name, sharded(texts, 5))
    return folder


def start(data: Path, name: str, workers: int) -> subprocess.Popen[bytes]:
    """Begin a build in a process group of its own."""
    write_recipe(data / name / "recipes", SOURCES, budget={"tokens": 40_001})
    command = [sys.executable, "-c", BUILD, str(data / name), str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (data / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def finish(data: Path, name: str, workers: int) -> Path:
    """Build to the end."""
    code = start(data, name, workers).wait(300)
    assert code == 0, (data / f"{name}.log").read_text()
    return data / name / "out"


@pytest.fixture(scope="module")
def reference(data: Path) -> tuple[float, dict[str, bytes], manifests.Manifest]:
    """Seconds, bytes and manifest of a build that nobody disturbs."""
    begun = time.monotonic()
    out = finish(data, "reference", 1)
    return time.monotonic() - begun, contents(out), manifests.load(out)


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kill the whole process group after a time. Returns whether it was still building."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    return process.returncode == -signal.SIGKILL


def kill_at(process: subprocess.Popen[bytes], folder: Path, sign: str, seconds: float) -> bool:
    """Kill it some time after a file of that name has appeared."""
    until = time.monotonic() + 60
    while process.poll() is None and not any(folder.glob(sign)) and time.monotonic() < until:
        time.sleep(0.002)
    return kill_after(process, seconds)


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {
        "recipes",
        "store",
    }


def check_killed(
    data: Path, name: str, reference: tuple[float, dict[str, bytes], manifests.Manifest]
) -> None:
    """What is visible after a kill is nothing, or (between the rename and the exit) all of the
    mix.
    """
    if visible(data / name):
        check_finished(data / name / "out", reference)


def check_finished(
    out: Path, reference: tuple[float, dict[str, bytes], manifests.Manifest]
) -> None:
    assert contents(out) == reference[1]
    assert manifests.load(out) == reference[2]


SIGNS = (
    "store/sources/*/*/.ledger.*",
    "store/sources/*/*/tokens-*/done.json",
    "store/select/*/p*",
    ".out.building-*/slices/*.json",
    ".out.building-*/manifest.json",
)


@pytest.mark.campaign  # tests/faults/test_kills kills a build with every stage by default
def test_a_build_killed_in_each_of_its_stages_is_finished_with_the_same_bytes(data, reference):
    draw = random.Random(5)
    killed = []
    for sign in SIGNS:
        killed.append(
            kill_at(start(data, "staged", 1), data / "staged", sign, draw.uniform(0, 0.05))
        )
        check_killed(data, "staged", reference)
    assert sum(killed) >= 3, f"only {killed} were killed in time"
    check_finished(finish(data, "staged", 1), reference)
    assert {path.name for path in (data / "staged").iterdir()} == {"recipes", "store", "out"}
    assert not list((data / "staged" / "store").rglob("*.tmp"))


@pytest.mark.campaign
def test_builds_of_two_workers_killed_at_very_many_moments_are_finished_with_the_same_bytes(
    data, reference
):
    workers, draw = 2, random.Random(2)
    killed = 0
    for number in range(10):
        name = f"killed-{workers}-{number}"
        for _ in range(2):
            killed += kill_after(
                start(data, name, workers), draw.uniform(0.2, 0.9 * workers) * reference[0]
            )
            check_killed(data, name, reference)
        check_finished(finish(data, name, workers), reference)
    assert killed >= 10
