"""Files that arms share with their base, or begin as: stored once where the file system can."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_PIECE = 1 << 30


def share(path: Path, copy: Path) -> None:
    """Give a file that will not be written to another name, or where that cannot be, copy it."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)


def copy_bytes(path: Path, copy: Path) -> None:
    """Copy a file that will be changed; a file system that can clone stores once what stays the
    same.
    """
    with path.open("rb") as source, copy.open("xb") as target:
        try:
            while os.copy_file_range(source.fileno(), target.fileno(), _PIECE):
                pass
        except (OSError, AttributeError):  # not between these places, or not on this system
            source.seek(0)
            target.seek(0)
            shutil.copyfileobj(source, target, _PIECE >> 6)
