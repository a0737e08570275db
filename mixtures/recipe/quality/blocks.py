"""Blocks of installed packages: filters and formatters of datatrove's that a user wrote, found by
their entry points.

    [project.entry-points."annealmix.blocks"]        of the package's own pyproject.toml
    drop-shouting = "my_package.filters:DropShouting"

What decides what a block does is named without running any of it: its distribution, the version,
and a hash of all Python sources of its top-level package. What that imports of other distributions
is not in the hash.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from mixtures.errors import RecipeError
from mixtures.yaml.disk import EntryPoint, entry_points, sources_of
from mixtures.yaml.tree import suggest

GROUP = "annealmix.blocks"


class InstalledBlock(NamedTuple):
    """A block, and what names its code."""

    entry: EntryPoint
    distribution: str
    version: str
    sha256: str
    """Of the sources, hex."""


def installed_block(name: str) -> InstalledBlock:
    """The block of a name. Nothing of its package is imported.

    Raises:
        RecipeError: none is installed, or several are; or its sources cannot be found.
    """
    entries = entry_points(GROUP)
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise RecipeError(
            f"no installed package has a block {name!r} (entry points of {GROUP});"
            f" {suggest(name, sorted({entry.name for entry in entries}), 'installed')}"
        )
    if len(found) > 1:
        raise RecipeError(
            f"{len(found)} installed packages have a block {name!r}; uninstall all but one"
        )
    (entry,) = found
    if entry.dist is None:
        raise RecipeError(f"block {name!r} is of no installed distribution; install its package")
    return InstalledBlock(
        entry, entry.dist.metadata["Name"], entry.dist.version, _sources_hash(entry)
    )


def _sources_hash(entry: EntryPoint) -> str:
    package = entry.module.partition(".")[0]
    sources = sources_of(package)
    if not sources:
        raise RecipeError(f"block {entry.name!r}: the module {package} has no source file")
    digest = hashlib.sha256()
    for path, content in sources.items():
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
