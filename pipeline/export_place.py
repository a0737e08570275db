"""Where an export appears: written beside its place under a hidden name, and renamed when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixtures.errors import RecipeError
from pipeline.records import sync


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` if the body ends well and vanishes if it does not.

    Raises:
        RecipeError: something is at that place.
    """
    refuse_taken(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.exporting-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        for path in [*folder.rglob("*"), folder]:
            sync(path)
        refuse_taken(out)
        folder.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_inside(mix: Path, file: Path) -> None:
    """Nothing is written among a mix's files.

    Raises:
        RecipeError: `file` lies in the folder of the mix.
    """
    if mix.resolve() in [file.resolve(), *file.resolve().parents]:
        raise RecipeError(f"{file}: lies inside the mix, where an audit would find it to be too much; write it somewhere else")


def refuse_taken(out: Path) -> None:
    """Nothing that exists is written over.

    Raises:
        RecipeError: something is at that place.
    """
    if out.exists() or out.is_symlink():
        raise RecipeError(f"{out}: exists; delete it, or name another place")
