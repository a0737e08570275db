"""Which code runs: a node must run what the build was submitted with."""

from __future__ import annotations

from pathlib import Path

import pipeline
from mixtures.errors import ManifestError


def package_folder() -> str:
    """Where the code lies that runs now."""
    return str(Path(pipeline.__file__).resolve().parent)


def refuse_other_package(folder: str) -> None:
    """A folder called `pipeline` that a node finds earlier than ours would do something else, or be an older version of this.

    Raises:
        ManifestError: the code that runs lies elsewhere than where the build was submitted.
    """
    if package_folder() != folder:
        raise ManifestError(
            f"{package_folder()}: this is the code that the job found, {folder} submitted it; mend PATH and PYTHONPATH in the profile's "
            "setup, and install annealmix where all nodes see it"
        )
