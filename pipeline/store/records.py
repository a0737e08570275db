"""Writing so that only whole results are ever seen: temporary name, fsync, rename, fsync of the
folder; and done-records.

A unit of work (a group's ledger, a key partition, a slice of the stream) leaves a folder or file
and, last of all, a done-record that lists its outputs with their sizes and hashes. Only the record
counts as done: a file's mere existence means nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from mixtures.errors import InputError, ManifestError
from mixtures.yaml.disk import open_file, read_at, read_bytes
from pipeline.places.files import patient
from pipeline.store.owned import PRIVATE_FILE, PRIVATE_FOLDER, open_own

DONE = "done.json"
HASHED_BYTES = 4 << 20
"""That are read and hashed at a time."""
SHOWN = ("ledger", "tokens-")
"""How names of folders begin that others may read."""


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Frozen(BaseModel):
    """A frozen value that is written as JSON and read through the same type.

    What was not set is not written, so that what some plans alone hold changes no others' bytes.
    """

    # a command uses few of the many plans and records that it imports
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def as_json(self, *without: str) -> dict[str, Any]:
        """As it is written. without: fields that are left out."""
        return self.model_dump(mode="json", exclude_unset=True, exclude=set(without))


class Record(Frozen):
    """What a unit's done-record says of its results."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # the sizes and hashes of its outputs

    digest: str = ""
    """BLAKE3 (hex) of the record; set when it is read."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the done-record of a folder.

        Raises:
            ManifestError: as `read_done`, or a field is missing or of another type.
        """
        try:
            return cls.model_validate(read_done(folder))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise ManifestError(
                f"{folder / DONE}: {where}: {fault['msg']}; delete {folder} and build again"
            ) from None


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name what is written in the body: the system says of a full disk or a quota that there is no
    space, not for which file.

    Raises:
        OSError: of the body, with a file name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temporary(path: Path, ending: str = "") -> Path:
    """Where a task writes what will be renamed to `path`. Nodes of a cluster share process ids, so
    the host is in the name.
    """
    return path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}{ending}")


def write_whole(
    path: Path, content: bytes | memoryview, mode: int = 0o644, folder: int | None = None
) -> None:
    """Write a file that either is there whole or is not there. folder: descriptor of the folder
    that holds it; None: by its whole path.
    """
    written = temporary(path)
    before, after = (written, path) if folder is None else (written.name, path.name)
    with suppress(FileNotFoundError):  # of a process of this number that was killed
        os.unlink(before, dir_fd=folder)
    handle = open_own(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, folder)
    try:
        with named(path), os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(before, dir_fd=folder)
        raise
    os.replace(before, after, src_dir_fd=folder, dst_dir_fd=folder)
    if folder is None:
        sync(path.parent)
    else:
        os.fsync(folder)


def write_json(path: Path, value: Any, folder: int | None = None) -> None:
    """Write JSON for people and machines alike: sorted keys, indented, whole or not at all. folder:
    as of `write_whole`.
    """
    content = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
    write_whole(path, content, folder=folder)


def read_json(path: Path) -> Any:
    """Read a JSON file that annealmix wrote.

    Raises:
        ManifestError: it is missing, damaged or no UTF-8.
    """
    try:
        return json.loads(patient(f"{path}: cannot be read", lambda: read_bytes(path)))
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: missing; it was written by an earlier step, so the folder is not whole"
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path}: damaged ({error}); delete its folder and build again"
        ) from None


def write_record(path: Path, record: Mapping[str, object], folder: int | None = None) -> None:
    """Write a record with its own BLAKE3, so that no figure in it can change unnoticed. folder: as
    of `write_whole`.
    """
    write_json(path, {**record, "digest": blake3(canonical_json(record)).hexdigest()}, folder)


def read_record(path: Path) -> dict[str, Any]:
    """Read a record that `write_record` wrote.

    Raises:
        ManifestError: it is missing, damaged, or not what its digest says.
    """
    return checked_record(str(path), read_json(path))


def checked_record(where: str, record: Any) -> dict[str, Any]:
    """The JSON of a record, held against its own digest.

    Raises:
        ManifestError: it is no record, or not what its digest says.
    """
    if not isinstance(record, dict) or not isinstance(record.get("digest"), str):
        raise ManifestError(
            f"{where}: no record of this version; delete its folder and build again"
        )
    said = {name: value for name, value in record.items() if name != "digest"}
    found = blake3(canonical_json(said)).hexdigest()
    if found != record["digest"]:
        raise ManifestError(
            f"{where}: has BLAKE3 {found}, it says {record['digest']}: it was changed; delete its"
            " folder and build again"
        )
    return record


class FolderWriter:
    """A folder that appears under its final name only when it is whole.

    What says of documents that they are removed, or would be (all but ledgers and tokens), its
    owner alone may read. Use as a context manager: write below `path`, then call
    `publish(record)`. Left without publishing, nothing remains.
    """

    def __init__(self, final: Path) -> None:
        self.final, self.private = final, not final.name.startswith(SHOWN)
        self.path = temporary(final, ".tmp")

    def __enter__(self) -> FolderWriter:
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(PRIVATE_FOLDER if self.private else 0o777)
        return self

    def publish(self, record: Mapping[str, object]) -> None:
        """Flush all files, write the done-record with their sizes and hashes, rename into place.

        If a twin of this task was faster, what it published stays: both hold the same.
        """
        outputs = {}
        for file in sorted(self.path.iterdir()):
            if self.private:
                file.chmod(PRIVATE_FILE)
            sync(file)
            outputs[file.name] = {"bytes": file.stat().st_size, "blake3": file_hash(file)}
        write_record(self.path / DONE, {**record, "outputs": outputs})
        if self.private:
            (self.path / DONE).chmod(PRIVATE_FILE)
        try:
            self.path.rename(self.final)
        except OSError:  # something is there: a rename replaces no folder that holds anything
            if is_done(self.final):
                return
            if self.final.exists():
                shutil.rmtree(self.final)
            self.path.rename(self.final)
        sync(self.final.parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if isinstance(error, OSError):
            with named(self.final):
                raise error


def file_hash(path: Path, threads: int = 1) -> str:
    """BLAKE3 of a whole file, hex."""
    return blake3(max_threads=threads).update_mmap(path).hexdigest()


def check_outputs(folder: Path) -> None:
    """Hash each output of a unit, with all cores, and compare it with the done-record: some 0.4 CPU
    seconds a gigabyte.

    Raises:
        ManifestError: an output is missing, truncated or has other bytes than were written.
    """
    for name, output in read_done(folder)["outputs"].items():
        if (found := _passing_hash(folder / name)) != output["blake3"]:
            raise ManifestError(
                f"{folder / name}: has BLAKE3 {found}, {output['blake3']} was written; the disk or"
                f" somebody changed it: delete {folder} and build again"
            )


def _passing_hash(path: Path) -> str:
    """As `file_hash`, of a file that may lie on the disk alone and be read but once."""
    hasher, at = blake3(max_threads=blake3.AUTO), 0
    with path.open("rb") as file:
        held = memoryview(bytearray(min(os.fstat(file.fileno()).st_size, HASHED_BYTES)))
        while read := read_at(file.fileno(), at, held):
            hasher.update(held[:read])
            at += read
    return hasher.hexdigest()


def is_done(folder: Path) -> bool:
    """Whether a unit's folder is published."""
    return (folder / DONE).is_file()


def read_done(folder: Path) -> dict[str, Any]:
    """Read a unit's done-record and check that each output it lists has the size that was written.

    Raises:
        ManifestError: the record is missing or damaged, or an output is missing or truncated.
    """
    record = read_record(folder / DONE)
    where = str(folder)  # of many small files, to join paths takes longer than to ask the system
    for name, output in record["outputs"].items():
        size = output["bytes"]
        try:
            found = os.stat(f"{where}/{name}").st_size
        except FileNotFoundError:
            raise ManifestError(
                f"{folder / name}: missing, although its done-record lists it; delete {folder} and"
                " build again"
            ) from None
        if found != size:
            raise ManifestError(
                f"{folder / name}: {found:,} bytes, {size:,} were written; delete {folder} and"
                " build again"
            )
    return record


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file.

    Raises:
        InputError: it is missing or unreadable.
    """
    state = hashlib.sha256()
    try:
        with open_file(path) as file:
            while block := file.read(1 << 20):
                state.update(block)
    except OSError as error:
        raise unreadable(path, error) from None
    return state.hexdigest()


def read_named(path: Path) -> bytes:
    """The bytes of a file that a filter names.

    Raises:
        InputError: it is missing or unreadable.
    """
    try:
        return read_bytes(path)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: cannot be read ({error.strerror}); restore the file that the filter names"
    )
