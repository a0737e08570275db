"""Where a mix appears: built in a hidden folder beside its place, and renamed when it is whole.

PARENT/.NAME.building-KEY/   the mix while it is written; KEY is of everything that decides it, so
                             that only the same build goes on with it
PARENT/.NAME.lock            held by the builder of NAME
PARENT/NAME/                 the finished mix
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mixtures.errors import RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Description, read_claims
from mixtures.mix.files import TOKENS
from mixtures.recipe.tokenizer.definition import ShippedTokenizer, TokenizerDefinition
from pipeline.report import say
from pipeline.stages.mix_folder import Layout
from pipeline.store.lock import locked
from pipeline.store.owned import opened_folder, own_folder, remove_inside, require_own
from pipeline.store.records import sync, write_whole
from pipeline.tokens.find import content_of, kept_copy


def refuse_foreign(out: Path, recipe_digest: str, size: dict[str, str]) -> None:
    """Say before any work that the output's place is taken by something that this command would not
    build.

    Raises:
        RecipeError: it holds no mix, or a mix of another recipe or size.
    """
    if out.is_symlink():
        raise RecipeError(
            f"{out}: a symbolic link; a mix appears by a rename, so name the place itself"
        )
    if _is_free(out):
        return
    if not (out / manifests.MANIFEST).is_file():
        raise RecipeError(
            f"{out}: exists and is no mix (no {manifests.MANIFEST}); choose another --out"
        )
    claims = read_claims(out)
    if (claims.recipe_digest, claims.size.as_json()) != (recipe_digest, size):
        raise RecipeError(
            f"{out}: holds {claims.name} of another recipe or size; choose another --out, or"
            " delete it"
        )


def refuse_nested(out: Path, store: Path) -> None:
    """A mix inside a store would be swept with it, and a store inside a mix would be taken for a
    part of it. Inside a file there is no place at all.

    Raises:
        RecipeError: one lies in the other, or both are one folder; or a file is where a folder must
            be.
    """
    place, folder = out.resolve(), store.resolve()
    there = next(one for one in (place, *place.parents) if one.exists())
    if not there.is_dir():
        raise RecipeError(f"{there} is a file, no folder and no mix; choose another --out")
    if place == folder or place in folder.parents or folder in place.parents:
        raise RecipeError(
            f"{out}: --out and --store ({store}) lie one inside the other; choose two separate"
            " folders"
        )


@contextmanager
def building(out: Path, key: str) -> Iterator[Path | None]:
    """Hold the folder in which a mix is built; None if something is at the final place already.

    What an earlier build of the same mix left there is kept, of another mix removed.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = out.parent / f".{out.name}.lock"
    with locked(lock, f"output {out}"):
        if not _is_free(out):
            try:
                yield None
            finally:
                lock.unlink(missing_ok=True)
            return
        for left in out.parent.glob(f".{glob.escape(out.name)}.building-*"):
            if left.name != f".{out.name}.building-{key}":
                shutil.rmtree(left)
        folder = out.parent / f".{out.name}.building-{key}"
        own_folder(folder)
        yield folder
        lock.unlink(missing_ok=True)


def publish(folder: Path, out: Path) -> None:
    """Rename a finished folder into place, without what only the building needed, and let others
    read it.

    Raises:
        RecipeError: it is not the folder that was made, or another was put into its place.
    """
    with opened_folder(folder) as handle:
        require_own(folder, os.fstat(handle))
        for name in {"slices", "work"} & set(os.listdir(handle)):
            with suppress(OSError):  # a network file system keeps what somebody has open
                remove_inside(handle, name)
        os.fchmod(handle, 0o777 & ~_umask())
        if out.exists():
            out.rmdir()
        os.rename(folder, out)
        if not os.path.samestat(out.lstat(), os.fstat(handle)):
            raise RecipeError(
                f"{out}: not the folder that was built in {folder}; somebody exchanged it: look at"
                f" who may write to {out.parent}"
            )
    sync(out.parent)


def _umask() -> int:
    """What the user lets others do; it can only be asked by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def finished(out: Path, described: Description, layout: Layout) -> manifests.Manifest:
    """The manifest of a mix that is at its place already, if it is the one that was asked for.

    Raises:
        RecipeError: it is another mix, or not whole.
    """
    manifest = read_claims(out).as_json()
    different = [
        name for name, value in described.as_json().items() if not _says(manifest.get(name), value)
    ]
    if different:
        raise RecipeError(
            f"{out}: holds another mix ({', '.join(different)} differ from what this command"
            " builds); choose another --out, or delete it"
        )
    tokens = out / TOKENS
    if not tokens.is_file() or tokens.stat().st_size != described.total_tokens * layout.token_bytes:
        raise RecipeError(
            f"{tokens}: not as long as the manifest says; the mix was damaged after it was built:"
            f" delete {out} and build again"
        )
    say(f"{out}: built already, {manifests.names(manifest)}")
    return manifest


def _is_free(out: Path) -> bool:
    return not out.exists() or (out.is_dir() and not any(out.iterdir()))


def _says(sealed: Any, described: Any) -> bool:
    """Whether a sealed value is the described one; sealing adds fields to the sources."""
    if isinstance(sealed, dict) and isinstance(described, dict):
        return all(
            name in sealed and _says(sealed[name], value) for name, value in described.items()
        )
    if isinstance(sealed, list) and isinstance(described, list):
        return len(sealed) == len(described) and all(map(_says, sealed, described))
    return bool(sealed == described)


def keep_tokenizer(path: Path, definition: TokenizerDefinition) -> None:
    """Keep a copy of a tokenizer whose file nothing ships, so that the mixes that it makes can be
    read on this machine when its file was moved. The mix does not need it: where there is no place
    for the copy (a home that compute nodes cannot write), that is said.
    """
    kept = kept_copy(definition.digest)
    shipped = isinstance(definition, ShippedTokenizer) and definition.file is not None
    if shipped or kept.is_file():
        return
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, content_of(path))
    except OSError as error:
        say(f"no copy of the tokenizer is kept ({error}); later commands need --tokenizer {path}")
