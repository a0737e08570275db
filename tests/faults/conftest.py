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
    """inputs: folder of data, filters and recipes; recipe: the one that is built; reference: what
    an undisturbed build of it makes, a mix or the folder of a study's; stages: what it went
    through.
    """

    inputs: Path
    recipe: str
    reference: Path
    stages: list[str]

    def words(self, work: Path, *options: object) -> list[object]:
        """The words of its build below a folder `work`."""
        return words_of(self.inputs, work, *options, recipe=self.recipe)

    def holds(self, out: Path) -> bool:
        """Whether all that is to be made is there, as in the reference, byte by byte."""
        whole = out.exists() and _shown(out) == _shown(self.reference)
        return whole and self.shows_no_part(out)

    def shows_no_part(self, out: Path) -> bool:
        """Whether each mix is as in the reference, or not there at all."""
        if (self.reference / manifests.MANIFEST).exists():
            return not out.exists() or _same(out, self.reference)
        return all(_same(out / name, self.reference / name) for name in _shown(out))


def _shown(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("[!.]*")}


def _same(mix: Path, other: Path) -> bool:
    same = manifests.load(mix) == manifests.load(other) and contents(mix) == contents(other)
    return same and {path.name for path in mix.iterdir()} == {path.name for path in other.iterdir()}


@pytest.fixture(scope="session")
def inputs(scratch: Path) -> Path:
    folder = scratch / "inputs"
    folder.mkdir()
    write_inputs(folder)
    return folder


def _made(warm: Warm, inputs: Path, recipe: str, work: Path) -> Full:
    work.mkdir()
    stages, code, told = warm.run(words_of(inputs, work, recipe=recipe))
    assert code == 0, told
    return Full(inputs, recipe, work / "out", stages)


@pytest.fixture(scope="session")
def full(scratch: Path, warm: Warm, inputs: Path) -> Full:
    return _made(warm, inputs, "mix.yaml", scratch / "reference")


@pytest.fixture(scope="session")
def study(scratch: Path, warm: Warm, inputs: Path) -> Full:
    return _made(warm, inputs, "study.yaml", scratch / "reference-study")
