"""The files of a mix folder: exactly those that the manifest's layout demands, beside caches of
trainers (`mixtures.mix.caches`).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from mixtures.audit.report import Check, judge
from mixtures.mix.caches import cache_of, is_cache_folder
from mixtures.mix.claims import Claims
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.manifest import MANIFEST
from mixtures.mix.slots import MASK_FILE, SLOTS_FILE
from mixtures.words import plural

CARD = "README.md"  # the dataset card of a mix that is published
# how the mix was built, and what a hub adds: they say nothing of what it is
OPTIONAL = ("build.json", CARD, ".gitattributes")


def tables_of(claims: Claims) -> tuple[str, ...]:
    """The tables that a mix has."""
    return ("documents",) if claims.public else ("documents", "provenance")


def max_rows(folder: Path, token_bytes: int) -> int:
    """What bounds the rows of a table: a document has a token in the .bin and 20 bytes in the .idx.
    The larger: one may be damaged.
    """
    sizes = [
        path.stat().st_size if path.is_file() else 0 for path in (folder / TOKENS, folder / INDEX)
    ]
    return max(sizes[0] // token_bytes, sizes[1] // 20)


def check_files(folder: Path, claims: Claims) -> Check:
    """Nothing is missing, and nothing is there that the manifest does not know."""
    parts = {table: len(getattr(claims.hashes, f"{table}_parts")) for table in tables_of(claims)}
    paths = [folder / MANIFEST, folder / TOKENS, folder / INDEX]
    paths += [folder / SLOTS_FILE] if claims.arm else []
    paths += [folder / MASK_FILE] if claims.mask else []
    paths += [
        part_path(folder, table, number)
        for table in tables_of(claims)
        for number in range(parts[table])
    ]
    expected = {path.relative_to(folder).as_posix() for path in paths}
    found = _files_below(folder, {f"{table}.parquet" for table in tables_of(claims)})
    faults = [f"{folder / name}: missing" for name in sorted(expected - found)]
    cached = _caches(folder, found - expected)
    strange = sorted(found - expected - set(OPTIONAL) - set(cached))
    faults += [
        f"{folder / name}: belongs to no mix; remove it, or find out who wrote it"
        for name in strange
    ]
    faults += _links(folder, sorted(found & expected))
    counts = {"chunks": (len(claims.hashes.chunks), claims.num_chunks)}
    counts |= {f"{table}_parts": (number, claims.num_slices) for table, number in parts.items()}
    for name, (listed, demanded) in counts.items():
        if listed != demanded:
            faults.append(
                f"hashes.{name} lists {listed:,}, {claims.total_tokens:,} tokens in this layout"
                f" make {demanded:,}"
            )
    figure = f"{len(found & expected):,} of {plural(len(expected), 'file')}"
    for trainer, number in Counter(cached.values()).items():
        figure += f"; cache of {trainer}: {plural(number, 'file')}"
    return judge("files", figure, faults)


def _caches(folder: Path, names: set[str]) -> dict[str, str]:
    """Whose caches are among these files of a mix folder; a link is none, since no trainer makes
    one.
    """
    trainers = {name: cache_of(name) for name in sorted(names)}
    return {
        name: trainer
        for name, trainer in trainers.items()
        if trainer is not None and not (folder / name).is_symlink()
    }


def _links(folder: Path, names: list[str]) -> list[str]:
    """Files that lie somewhere else, where they may become others after they were counted. The
    hub's cache, whose snapshots are links into its own blobs, is one place.
    """
    place = folder.resolve()
    allowed = [place]
    if place.parent.name == "snapshots":
        allowed.append(place.parent.parent / "blobs")
    strays = [
        folder / name
        for name in names
        if not any((folder / name).resolve().is_relative_to(within) for within in allowed)
    ]
    return [
        f"{path}: a link out of the mix, to {path.resolve()}; a mix holds its own files"
        for path in strays
    ]


def _files_below(folder: Path, tables: set[str]) -> set[str]:
    """Paths of all files below a folder, and of folders that are neither these tables nor a
    trainer's cache; links to folders are not followed.
    """
    paths: set[str] = set()
    for parent, folders, names in os.walk(folder):
        here = Path(parent).relative_to(folder)
        paths |= {(here / name).as_posix() for name in names}
        known = {
            name
            for name in folders
            if (name in tables and here == Path())
            or (
                is_cache_folder((here / name).as_posix())
                and not (folder / here / name).is_symlink()
            )
        }
        paths |= {f"{(here / name).as_posix()}/" for name in folders if name not in known}
        folders[:] = [name for name in folders if name in known]
    return paths


def check_bin_size(folder: Path, claims: Claims) -> Check:
    """The .bin has two or four bytes for each token, no more and no fewer."""
    expected = claims.total_tokens * claims.layout.dtype.itemsize
    try:
        size = (folder / TOKENS).stat().st_size
    except OSError as error:
        return judge("bin size", "no size", [f"{folder / TOKENS}: {error.strerror}"])
    figure = (
        f"{size:,} bytes = {claims.total_tokens:,} tokens of {claims.layout.dtype.itemsize} bytes"
    )
    if size == expected:
        return judge("bin size", figure, [])
    return judge(
        "bin size",
        f"{size:,} bytes",
        [f"{folder / TOKENS}: {size:,} bytes, {claims.total_tokens:,} tokens take {expected:,}"],
    )
