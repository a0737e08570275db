"""A mix on an object store: built in a local folder, sent when it is whole, its manifest last.

    PREFIX/uploading.json                  while it is sent: which recipe and size, so that only the
                                           same build goes on with it
    PREFIX/tokens.bin, tokens.idx, ...     the files of the mix; one of more than SHARD_BYTES (64
                                           MiB, a chunk of the manifest) as shards
    PREFIX/NAME.shard-00001-of-00024       of SHARD_BYTES each but for the last; one after another
                                           they are the file
    PREFIX/manifest.json                   last of all: without it there is no mix

What is there already with the right size and MD5 is not sent again. (An ETag is no MD5 where the
bucket encrypts with keys of its own: there an upload that was interrupted begins anew.) The local
copy is deleted once the mix has arrived. A mix is read by fetching it.

The mixes of a study lie at PREFIX/NAME, the base first; what arms share with it the object store
itself copies from there.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError, ManifestError, RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.caches import cache_of
from mixtures.mix.claims import Claims, read_claims
from pipeline.places.files import RemoteObject, content, copy, list_objects, put, remove
from pipeline.places.places import RemoteFolder
from pipeline.report import plural, progress, say
from pipeline.store.lock import locked

SHARD_BYTES = 64 << 20
UPLOADING = "uploading.json"
_SHARD = re.compile(r"(.+)\.shard-(\d{5})-of-(\d{5})")


class RemoteOutput:
    """The mix at `url`, which is built in `folder`."""

    def __init__(self, url: RemoteFolder, folder: Path) -> None:
        self.url, self.folder = url, folder

    def refuse_foreign(self, recipe_digest: str, size: dict[str, str]) -> None:
        """Say before any work that the place is taken by something that this command would not
        build.

        Raises:
            RecipeError: it holds no mix, a mix of another recipe or size, or a part of one.
        """
        there = list_objects(self.url, AnnealmixError)
        if manifests.MANIFEST in there:
            claims = self.claims()
            if (claims.recipe_digest, claims.size.as_json()) != (recipe_digest, size):
                raise RecipeError(
                    f"{self.url}: holds {claims.name} of another recipe or size; choose another"
                    " --out, or delete it"
                )
        elif there and self._uploading(there) != {"recipe_digest": recipe_digest, "size": size}:
            what = (
                "an unfinished upload of another mix"
                if UPLOADING in there
                else f"no mix (no {manifests.MANIFEST})"
            )
            raise RecipeError(f"{self.url}: holds {what}; choose another --out, or delete it")

    def inside(self, name: str) -> RemoteOutput:
        """A mix of several, by its name in the folder of all."""
        return RemoteOutput(self.url / name, self.folder / name)

    def send(self, manifest: manifests.Manifest) -> None:
        """Send the finished mix, or what of it is not there yet, and delete the local copy.

        Raises:
            RecipeError: another mix is there. AnnealmixError: the store does not take it; the same
                command goes on.
        """
        with self._sending():
            self._send(manifest)
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def send_study(self, found: Mapping[str, manifests.Manifest]) -> None:
        """Send finished mixes that lie in a folder of all, by their names, and delete the local
        copies when the last has arrived. What others share with the first is copied from it there.

        Raises: as `send`.
        """
        first, *_ = map(self.inside, found)
        with self._sending():
            for name, manifest in found.items():
                self.inside(name)._send(manifest, first.url)
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def _sending(self) -> AbstractContextManager[None]:
        """One builder at a time: there may be another, with another store."""
        return locked(self.folder.parent / "sending.lock", f"working copy of {self.url}")

    def _send(self, manifest: manifests.Manifest, shared: RemoteFolder | None = None) -> None:
        """Send what is not there yet. shared: a mix whose objects may be copied from, if they are
        the same.
        """
        there = list_objects(self.url, AnnealmixError)
        if manifests.MANIFEST not in there:
            self._send_all(manifest, there, shared)
        elif self.claims().digest == manifest["digest"]:
            say(f"{self.url}: built already, {manifests.names(manifest)}")
        else:
            raise RecipeError(
                f"{self.url}: holds another mix than this command builds; choose another --out, or"
                " delete it"
            )

    def _send_all(
        self,
        manifest: manifests.Manifest,
        there: dict[str, RemoteObject],
        shared: RemoteFolder | None,
    ) -> None:
        marker = {name: manifest[name] for name in ("recipe_digest", "size")}
        put(self.url, UPLOADING, json.dumps(marker, sort_keys=True).encode())
        files = [
            path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name != manifests.MANIFEST
        ]
        todo = [piece for path in files for piece in _pieces(self.folder, path)]
        others = list_objects(shared, AnnealmixError) if shared and shared != self.url else {}
        sent = done = 0
        copied: dict[str, str] = {}
        with progress("upload", len(todo), lambda: done):
            for name, path, offset in todo:
                with path.open("rb") as file:
                    file.seek(offset)
                    data = file.read(SHARD_BYTES)
                md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
                if _is(there.get(name), len(data), md5):
                    pass
                elif shared and _is(others.get(name), len(data), md5):
                    copy(shared, self.url, name)
                    copied[name] = md5
                else:
                    put(self.url, name, data)
                    sent += 1
                done += 1
        self._require_copied(copied)
        put(self.url, manifests.MANIFEST, (self.folder / manifests.MANIFEST).read_bytes())
        remove(self.url, UPLOADING)
        within = f", {len(copied):,} copied from {shared}" if copied else ""
        say(
            f"{self.url}: {plural(sent + 1, 'object')} sent{within},"
            f" {len(todo) - sent - len(copied):,} were there already"
        )

    def _require_copied(self, copied: Mapping[str, str]) -> None:
        """Refuse objects that are not what was copied: somebody may have replaced them meanwhile.
        copied: MD5 by name.

        Raises:
            ManifestError: names one.
        """
        there = list_objects(self.url, AnnealmixError) if copied else {}
        for name, md5 in copied.items():
            if name not in there or there[name].md5 != md5:
                raise ManifestError(
                    f"{self.url}/{name}: not what was copied there; somebody else writes to it;"
                    " give the command again"
                )

    def claims(self) -> Claims:
        """The manifest there, checked as a local one is."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, manifests.MANIFEST).write_bytes(
                content(self.url, manifests.MANIFEST, AnnealmixError)
            )
            try:
                return read_claims(Path(folder))
            except ManifestError as error:
                raise ManifestError(str(error).replace(folder, self.url.url)) from None

    def _uploading(self, there: dict[str, RemoteObject]) -> Any:
        try:
            return (
                json.loads(content(self.url, UPLOADING, AnnealmixError))
                if UPLOADING in there
                else None
            )
        except (ValueError, RecursionError):
            return None


def _is(known: RemoteObject | None, size: int, md5: str) -> bool:
    """Whether an object is there with this content, as far as its listing says."""
    return known is not None and (known.size, known.md5) == (size, md5)


def _pieces(folder: Path, path: Path) -> list[tuple[str, Path, int]]:
    """The objects of a file: key below the prefix, file, offset (bytes)."""
    name, shards = path.relative_to(folder).as_posix(), -(-path.stat().st_size // SHARD_BYTES)
    if shards <= 1:
        return [(name, path, 0)]
    return [
        (f"{name}.shard-{number:05d}-of-{shards:05d}", path, number * SHARD_BYTES)
        for number in range(shards)
    ]


@contextmanager
def fetched(url: RemoteFolder, cache: Path) -> Iterator[Path]:
    """A copy of a remote mix, as it is now, deleted afterwards.

    Raises:
        RecipeError: there is no mix. ManifestError: a shard is missing, or an object has a name
            that no mix has. AnnealmixError: of the body, naming the remote mix in place of the
            copy.
    """
    there = list_objects(url, AnnealmixError)
    if manifests.MANIFEST not in there:
        raise RecipeError(
            f"{url}: no mix there (no {manifests.MANIFEST}); name the prefix of one that was built"
            " with --out"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mix-", dir=cache) as place:
        folder = Path(place)
        for name, entries in _files(url, there).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("wb") as file:
                for entry in entries:
                    file.write(_object(url, entry, there[entry].size))
        try:
            yield folder
        except AnnealmixError as error:  # its paths are gone in a moment
            raise type(error)(str(error).replace(str(folder), url.url)) from None


def _files(url: RemoteFolder, there: dict[str, RemoteObject]) -> dict[str, list[str]]:
    """The objects of each file of a mix, without trainers' caches, in order; all shards of a file
    are there.
    """
    files: dict[str, list[str]] = {}
    for entry in sorted(there):
        if cache_of(entry):  # whoever trained on a mounted bucket left it; it may be large
            continue
        shard = _SHARD.fullmatch(entry)
        files.setdefault(shard[1] if shard else entry, []).append(entry)
        if entry != manifests.MANIFEST and there[entry].size > SHARD_BYTES:
            raise ManifestError(
                f"{url}/{entry}: {there[entry].size:,} bytes, no object of a mix has more than"
                f" {SHARD_BYTES:,}"
            )
    files.pop(UPLOADING, None)
    for name, entries in files.items():
        expected = [
            f"{name}.shard-{number:05d}-of-{len(entries):05d}" for number in range(len(entries))
        ]
        if entries not in ([name], expected):
            raise ManifestError(
                f"{url}/{name}: {plural(len(entries), 'shard')} there, not all that it was sent as;"
                " send the mix again"
            )
    return files


def _object(url: RemoteFolder, name: str, size: int) -> bytes:
    data = content(url, name, AnnealmixError)
    if len(data) != size:
        raise ManifestError(
            f"{url}/{name}: {len(data):,} bytes, {size:,} were listed; it changed while it was read"
        )
    return data
