"""Which code runs: a node must run what the build was submitted with."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import mixtures
import pipeline
from mixtures.errors import ManifestError


def package() -> str:
    """FOLDER@HASH: where the code lies that runs now, and the first 16 hex digits of the sha256 of
    all its modules.
    """
    folders = [Path(module.__file__ or "").resolve().parent for module in (pipeline, mixtures)]
    content = sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            code = file.read_bytes()
            content.update(f"{file.relative_to(folder)} {len(code)}\n".encode() + code)
    return f"{folders[0]}@{content.hexdigest()[:16]}"


def refuse_other_package(submitted: str) -> None:
    """A folder called `pipeline` that a node finds earlier than ours would do something else, or be
    an older version of this.

    A node may have another version at the same place, and so may all of them since the build was
    submitted.

    Raises:
        ManifestError: the code that runs is not that which submitted the build.
    """
    if (found := package()) != submitted:
        raise ManifestError(
            f"{found}: this is the code that the job found, {submitted} submitted it; mend PATH and"
            " PYTHONPATH in the profile's setup, install annealmix where all nodes see it, and"
            " give the command again"
        )
