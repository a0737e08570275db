"""A token store on an object store: worked on in a local folder, its published folders fetched
before a stage and sent after it.

    pull   for each published folder there that is not here: the record first, then each output,
           held against the record's BLAKE3; the
           folder appears under its name when it is whole
    push   for each published folder here that is not there: the outputs first, the record last, so
           that only the record counts there too

What lies there: the same paths as below the local store, of `sources`, `scores`, `near`, `mixes`.
Escalated texts (texts-*, mode 0600), selections, plans and logs stay here. A folder that is on both
sides must have the same record.

Limits: one builder at a time pushes to a store (local locks are not seen there); of two that push
the same folder at once the bytes may mix, which the next pull finds. All groups of the sources that
a build reads are pulled, those of files that were changed since too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError, ManifestError, RecipeError
from pipeline.places.files import content, file_system, list_objects, put, retried
from pipeline.places.places import RemoteFolder
from pipeline.report import plural, say
from pipeline.store.mixes import MIXES
from pipeline.store.records import (
    DONE,
    FolderWriter,
    checked_record,
    file_hash,
    is_done,
    read_record,
    write_whole,
)
from pipeline.store.scores import SCORE_PARTITIONS, SCORED, partition_name

STORE = "store.json"
REVISION = "revision.json"
SHARED = ("sources", "scores", "near")
PRIVATE = "texts-"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*")


class RemoteStore:
    """The store at `url`, whose working copy is `folder`."""

    def __init__(self, url: RemoteFolder, folder: Path) -> None:
        self.url, self.folder = url, folder

    def open(self) -> None:
        """Fetch what says that it is a store.

        Raises:
            RecipeError: something else lies there. ManifestError: it is a store of another version.
        """
        there = list_objects(self.url, AnnealmixError)
        if STORE not in there:
            if there:
                raise RecipeError(
                    f"{self.url}: not empty and not a store (no {STORE}); choose another --store"
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        found = content(self.url, STORE, AnnealmixError)
        if not (self.folder / STORE).exists():
            write_whole(self.folder / STORE, found)
        elif (self.folder / STORE).read_bytes() != found:
            raise ManifestError(
                f"{self.url / STORE}: not what its working copy {self.folder} says; delete that, or"
                " choose another --store"
            )

    def pull(self, folders: Sequence[Path], kinds: Sequence[str] = ("",)) -> None:
        """Fetch what is published below these folders of the store. kinds: what the last part of a
        published folder's name begins with.

        Raises:
            ManifestError: what lies there is damaged, or not what lies here.
        """
        fetched = 0
        for folder in folders:
            inside = folder.relative_to(self.folder).as_posix()
            there = list_objects(self.url / inside, AnnealmixError)
            for path in sorted(there, key=_records_last):
                self._check_name(inside, path)
                if inside == MIXES:
                    self._fetch_record(inside, path)
                    continue
                parent, name = f"{inside}/{path}".rsplit("/", 1)
                last = parent.rsplit("/", 1)[1]
                if name == DONE and last.startswith(tuple(kinds)) and not last.startswith(PRIVATE):
                    fetched += self._fetch(parent)
                elif name == SCORED and not self._has_partitions(parent):
                    raise ManifestError(
                        f"{self.url}/{parent}: its {SCORED} is there, partitions of it are not;"
                        " delete that folder there and build again"
                    )
                elif name in (SCORED, REVISION):
                    self._fetch_record(parent, name)
        if fetched:
            say(f"store: {plural(fetched, 'folder')} fetched from {self.url}")

    def push(self) -> None:
        """Send what is published here and not there."""
        there = list_objects(self.url, AnnealmixError)
        if STORE not in there:
            put(self.url, STORE, (self.folder / STORE).read_bytes())
        sent = 0
        for record in sorted(self._records(), key=lambda path: _records_last(path.as_posix())):
            inside = record.relative_to(self.folder).as_posix()
            if inside in there:
                continue
            if record.name == DONE:
                for name in read_record(record)["outputs"]:
                    self._send(record.parent / name)
                sent += 1
            put(self.url, inside, record.read_bytes())
        if sent:
            say(f"store: {plural(sent, 'folder')} sent to {self.url}")

    def _records(self) -> Iterator[Path]:
        """What counts as published here, but for what stays here."""
        yield from (self.folder / MIXES).glob("[!.]*.json")
        for part in SHARED:
            for name in (DONE, SCORED, REVISION):
                for path in (self.folder / part).rglob(name):
                    inner = path.relative_to(self.folder).parts
                    if not any(step.startswith((".", PRIVATE)) for step in inner):
                        yield path

    def _send(self, path: Path) -> None:
        where = f"{self.url}/{path.relative_to(self.folder).as_posix()}"
        system = file_system(self.url.scheme)
        retried(
            f"{where}: cannot be written",
            lambda: system.put_file(str(path), where),
            failure=AnnealmixError,
        )

    def _fetch(self, inside: str) -> int:
        """Fetch a published folder, or hold its record against the one that is here. Returns how
        many were fetched.
        """
        found = content(self.url, f"{inside}/{DONE}", AnnealmixError)
        record = _parsed(f"{self.url}/{inside}/{DONE}", found)
        local = self.folder / inside
        if is_done(local):
            if (here := read_record(local / DONE)["digest"]) != record["digest"]:
                raise ManifestError(
                    f"{self.url}/{inside}: record {record['digest'][:16]}, the working copy {local}"
                    f" has {here[:16]}; delete one of them"
                )
            return 0
        local.parent.mkdir(parents=True, exist_ok=True)
        with FolderWriter(local) as writer:
            for name, output in record["outputs"].items():
                self._check_name(inside, name)
                self._fetch_output(f"{self.url}/{inside}/{name}", writer.path / name, output)
            writer.publish(
                {name: value for name, value in record.items() if name not in ("digest", "outputs")}
            )
        return 1

    def _fetch_output(self, where: str, path: Path, output: dict[str, Any]) -> None:
        system = file_system(self.url.scheme)
        retried(
            f"{where}: cannot be read",
            lambda: system.get_file(where, str(path)),
            failure=AnnealmixError,
        )
        if path.stat().st_size != output["bytes"] or file_hash(path) != output["blake3"]:
            raise ManifestError(
                f"{where}: not the {output['bytes']:,} bytes of BLAKE3 {output['blake3'][:16]} that"
                f" its record lists; delete {where.rsplit('/', 1)[0]} there and build again"
            )

    def _fetch_record(self, parent: str, name: str) -> None:
        """Take over the record of scores that are all here, or the commit at which the store froze
        a source.
        """
        found = content(self.url, f"{parent}/{name}", AnnealmixError)
        local = self.folder / parent / name
        if not local.exists() or local.read_bytes() != found:
            local.parent.mkdir(parents=True, exist_ok=True)
            write_whole(local, found)

    def _has_partitions(self, parent: str) -> bool:
        """Whether all partitions of an increment of scores are here, which come before their
        record.
        """
        return all(
            is_done(self.folder / parent / partition_name(number))
            for number in range(SCORE_PARTITIONS)
        )

    def _check_name(self, inside: str, path: str) -> None:
        """Keys become paths of this machine."""
        if not all(_NAME.fullmatch(part) for part in path.split("/")):
            raise ManifestError(
                f"{self.url}/{inside}: holds {path!r}, which annealmix does not write; remove it"
            )


def _records_last(path: str) -> tuple[int, str]:
    """Sort key: a record comes after all that it speaks of."""
    return {DONE: 1, SCORED: 2}.get(path.rsplit("/", 1)[-1], 0), path


def _parsed(where: str, found: bytes) -> dict[str, Any]:
    """The done-record of a published folder, as `pipeline.store.records.read_record` reads a local
    one.
    """
    try:
        record = checked_record(where, json.loads(found))
    except (ValueError, RecursionError):
        raise ManifestError(f"{where}: damaged; delete its folder there and build again") from None
    outputs = record.get("outputs")
    if not isinstance(outputs, dict) or not all(map(_is_output, outputs.values())):
        raise ManifestError(f"{where}: lists no outputs; delete its folder there and build again")
    return record


def _is_output(value: Any) -> bool:
    """Whether a record's entry of an output is one."""
    return (
        isinstance(value, dict)
        and type(value.get("bytes")) is int
        and isinstance(value.get("blake3"), str)
    )
