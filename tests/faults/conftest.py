"""What the tests of killed and starved builds share: a warm parent of builds, the inputs of a build
with every stage, and its reference.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mixtures.mix import manifest as manifests
from tests.faults.full_builds import words_of, write_inputs
from tests.faults.warm import Warm
from tests.pipeline.corpus import contents

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: builds flush every file to the disk, and hundreds of
    them would wait for it.
    """
    with tempfile.TemporaryDirectory(
        dir=MEMORY if os.access(MEMORY, os.W_OK) else None, prefix="annealmix-faults-"
    ) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    parent = Warm()
    yield parent
    parent.close()


class Full(NamedTuple):
    """inputs: folder of data, filters and recipe; reference: an undisturbed mix of them; stages:
    what its build went through.
    """

    inputs: Path
    reference: Path
    stages: list[str]

    def holds(self, out: Path) -> bool:
        """Whether a mix is the reference, byte by byte."""
        same = manifests.load(out) == manifests.load(self.reference) and contents(out) == contents(
            self.reference
        )
        return same and {path.name for path in out.iterdir()} == {
            path.name for path in self.reference.iterdir()
        }


@pytest.fixture(scope="session")
def full(scratch: Path, warm: Warm) -> Full:
    inputs, work = scratch / "inputs", scratch / "reference"
    inputs.mkdir()
    work.mkdir()
    write_inputs(inputs)
    stages, code, told = warm.run(words_of(inputs, work))
    assert code == 0, told
    return Full(inputs, work / "out", stages)
