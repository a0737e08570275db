"""What annealmix ships beside its code, and how files are named in messages."""

from __future__ import annotations

from pathlib import Path

import recipes

SHIPPED = Path(recipes.__file__).parent


def names_in(folder: Path) -> list[str]:
    """Names of the YAML files of a folder, without their ending."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def shown(file: Path) -> str:
    """Name a file for messages: shipped ones by their place in the project, others as they were
    given.
    """
    return (
        f"recipes/{file.relative_to(SHIPPED).as_posix()}"
        if file.is_relative_to(SHIPPED)
        else str(file)
    )
