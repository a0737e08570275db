"""Where what a user asks for appears: whole or not at all, never over what exists, and never inside
the mix that it is made of.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mixtures.errors import RecipeError
from pipeline.store.records import named, sync, temporary


@contextmanager
def appearing(out: Path, mix: Path) -> Iterator[Path]:
    """A folder to fill from a mix, which becomes `out` if the body ends well and vanishes if it
    does not.

    Raises:
        RecipeError: as `refuse_place`.
    """
    refuse_place(out, mix)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = temporary(out, ".exporting")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with named(out):
            yield folder
            for path in [*folder.rglob("*"), folder]:
                sync(path)
        refuse_taken(out)
        folder.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_place(out: Path, mix: Path) -> None:
    """Refuse to write over what exists, or into the mix.

    Raises:
        RecipeError: something is at that place, or it lies inside the mix.
    """
    refuse_taken(out)
    refuse_inside(out, mix)


def refuse_file(file: Path, mix: Path) -> None:
    """Refuse a file that could not be written in the end, before any work for it.

    Raises:
        RecipeError: as `refuse_place`, or its folder does not exist.
    """
    refuse_place(file, mix)
    if not file.parent.is_dir():
        raise RecipeError(
            f"{file}: cannot be made, since {file.parent} is no folder; name a file in a folder"
            " that exists"
        )


def refuse_inside(out: Path, mix: Path) -> None:
    """Nothing is written among a mix's files.

    Raises:
        RecipeError: `out` is the folder of the mix, or lies in it.
    """
    if mix.resolve() in [out.resolve(), *out.resolve().parents]:
        raise RecipeError(
            f"{out}: lies inside the mix, where an audit would find it to be too much; write it"
            " somewhere else"
        )


def refuse_taken(out: Path) -> None:
    """Nothing that exists is written over.

    Raises:
        RecipeError: something is at that place.
    """
    if out.exists() or out.is_symlink():
        raise RecipeError(f"{out}: exists; delete it, or name another place")


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A new file to fill, which its owner alone can read (mode 0600); it vanishes if the body ends
    in an error.

    Raises:
        RecipeError: it exists, or cannot be made.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RecipeError(f"{path}: exists; delete it, or name another place") from None
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be made ({error.strerror}); name a file in a folder that exists"
        ) from None
    try:
        with named(path), os.fdopen(handle, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
