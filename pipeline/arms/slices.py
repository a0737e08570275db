"""Arms, slice by slice: the stream of a base in which slots are overwritten.

A unit is a slice of one arm. It copies the base's bytes of that slice, which a file system that can
clone stores once, holds them against the base's manifest, so that no damage goes on under a new
hash, writes donors into the slots that lie there, and reads back what it wrote. Parts of tables
without a slot are other names of the base's. Of an arm that changes no token, a masked one,
tokens.bin is, too, and a unit only holds it against the manifest.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from numpy.lib.format import open_memmap

from mixtures.errors import AnnealmixError, ManifestError
from mixtures.mix.files import TOKENS, part_path
from mixtures.mix.tables import TABLES, Columns, part_hash
from mixtures.stream.arms.donors import EXACT, KINDS
from mixtures.yaml.disk import read_at, write_at
from pipeline.stages.mix_folder import (
    SlicesPlan,
    SlicesStage,
    SliceUnit,
    WrittenSlice,
    file_inside,
    folder_inside,
    write_table,
)
from pipeline.stages.stream_columns import copy_runs
from pipeline.store.records import Frozen, file_hash, sync

Int64s = npt.NDArray[np.int64]
ARMS_FORMAT = 1
"""Of what units leave; a change that can change any byte of it raises it."""
WORKER_BYTES = 1 << 29
"""Of arms, that one process writes before another is started."""
RUNS_FILE = "work/runs.npy"
"""In the folder of an arm while it is written: int64 [5, num_runs], a column for each piece of a
donor in the order of the stream: where it begins and ends in the stream, its token file among the
plan's, its first token there, and 1 if it is cut and so ends in an EOD of its own."""
_BLOCK_BYTES = 1 << 22


class ArmUnit(SliceUnit):
    """A slice of an arm."""

    arm: str


class ArmFolder(Frozen):
    """Where an arm is written."""

    folder: Path
    files: dict[str, str]
    """BLAKE3 of what slices read of it, by path below it: slots.parquet and runs; of a masked arm
    nothing."""


class ArmsPlan(SlicesPlan[ArmUnit]):
    """What writing the arms of a study must know."""

    base: Path
    chunks: tuple[str, ...]
    """BLAKE3 of each chunk of the base's .bin."""
    parts: dict[str, tuple[str, ...]]
    """Of each table of the base, the hashes of its parts."""
    inputs: dict[Path, str]
    """Folders of the store that donors' tokens are read from, with the digests of their records."""
    token_files: tuple[Path, ...]
    arms: dict[str, ArmFolder]


class Arms(SlicesStage[ArmsPlan, ArmUnit]):
    """Writes slices of arms."""

    name = "arms"
    plan_type = ArmsPlan

    def prepare(self, plan: ArmsPlan) -> None:
        """Open each arm when its first slice is asked for."""
        self._arm = lru_cache(1)(lambda name: _Arm(plan, plan.arms[name]))

    def upstream(self, plan: ArmsPlan) -> Mapping[Path, str]:
        """What donors are read from."""
        return plan.inputs

    @staticmethod
    def mix(plan: ArmsPlan, unit: ArmUnit) -> Path:
        """That of the arm."""
        return plan.arms[unit.arm].folder

    def write_slice(self, plan: ArmsPlan, unit: ArmUnit) -> WrittenSlice:
        """Write the bytes and table parts of a slice. Returns its record."""
        return self._arm(unit.arm).write_slice(unit.slice)

    @classmethod
    def useful_workers(cls, plan: ArmsPlan) -> int:
        """As many as the size of the arms keeps busy."""
        return 1 + len(plan.arms) * (plan.base / TOKENS).stat().st_size // WORKER_BYTES

    @staticmethod
    def describe(unit: ArmUnit) -> str:
        """The slice, and whose."""
        return f"slice {unit.slice} of {unit.arm}"


class _Arm:
    """What a slice needs to know of the whole arm."""

    def __init__(self, plan: ArmsPlan, arm: ArmFolder) -> None:
        self._plan, self._layout, self.folder = plan, plan.layout, arm.folder
        for name, digest in arm.files.items():
            if file_hash(arm.folder / name) != digest:
                raise ManifestError(
                    f"{arm.folder / name}: written again since this was planned; start the build"
                    " again"
                )
        # no runs: the tokens are the base's own
        self._runs = (
            open_memmap(arm.folder / RUNS_FILE, mode="r") if RUNS_FILE in arm.files else None
        )
        size = min(self._layout.chunk_tokens, plan.total_tokens)
        self._chunk = np.empty(size, self._layout.dtype)

    def write_slice(self, number: int) -> WrittenSlice:
        """Write the bytes and table parts of a slice. Returns its record.

        Raises:
            ManifestError: the base is not what its manifest says.
        """
        begin = number * self._layout.slice_tokens
        end = min(begin + self._layout.slice_tokens, self._plan.total_tokens)
        chunks, num_eod, num_bos = [], 0, 0
        with self._opened() as (source, target):
            for low in range(begin, end, self._layout.chunk_tokens):
                tokens = self._chunk[: min(end - low, self._layout.chunk_tokens)]
                chunks.append(self._write_chunk(source, target, low, tokens))
                num_eod += int(np.count_nonzero(tokens == self._plan.eod_id))
                if self._plan.bos_id is not None:
                    num_bos += int(np.count_nonzero(tokens == self._plan.bos_id))
            if target is not None:
                os.fsync(target)
        hashes, files = self._write_tables(number)
        return WrittenSlice(
            slice=number,
            chunks=tuple(chunks),
            eod_tokens=num_eod,
            bos_tokens=num_bos,
            documents=hashes["documents"],
            provenance=hashes["provenance"],
            files=files,
        )

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int | None]]:
        """Descriptors of the base's tokens and of the arm's own; of a masked arm, whose are the
        base's, of its own and none.
        """
        if self._runs is None:
            with (self.folder / TOKENS).open("rb") as file:
                yield file.fileno(), None
        else:
            with (
                (self._plan.base / TOKENS).open("rb") as file,
                file_inside(self.folder / TOKENS) as handle,
            ):
                yield file.fileno(), handle

    def _write_chunk(
        self, source: int, target: int | None, low: int, tokens: npt.NDArray[Any]
    ) -> str:
        """Write a chunk at its place, token `low` of the stream, and leave it in `tokens`, the
        stream's dtype [num_tokens]. Returns its hash.
        """
        offset, content = low * self._layout.token_bytes, tokens.data.cast("B")
        if target is not None:
            _copy(source, target, offset, len(content))
        number = low // self._layout.chunk_tokens
        hashed = self._plan.chunks[number]
        read = read_at(source if target is None else target, offset, content)
        if read < len(content) or blake3(content).hexdigest() != hashed:
            raise damaged(self._plan.base, self._plan.base / TOKENS)
        if target is None:
            return hashed
        begin, end = self._fill(low, tokens)
        if not len(begin):
            return hashed
        size = self._layout.token_bytes
        for at, behind in zip((begin * size).tolist(), (end * size).tolist(), strict=True):
            write_at(target, offset + at, content[at:behind])
            if os.pread(target, behind - at, offset + at) != content[at:behind]:
                raise AnnealmixError(
                    f"{self.folder / TOKENS}: tokens {low + at // size:,} to"
                    f" {low + behind // size:,} read back are not those that were written"
                )
        return blake3(content).hexdigest()

    def _fill(self, low: int, tokens: npt.NDArray[Any]) -> tuple[Int64s, Int64s]:
        """Overwrite what of slots lies in a chunk. Returns where in it runs begin and end, int64
        [num_runs] each. low, tokens: as of `_write_chunk`.
        """
        assert self._runs is not None
        high = low + len(tokens)
        first = np.searchsorted(self._runs[1], low, "right")
        last = np.searchsorted(self._runs[0], high)
        starts, ends, token_file, origin, cut = np.array(self._runs[:, first:last])
        begin, end = np.maximum(starts, low), np.minimum(ends, high)
        to = begin - low, end - low
        copy_runs(tokens, self._plan.token_files, token_file, origin + begin - starts, to)
        eod_id, inside = self._plan.eod_id, ends <= high
        tokens[ends[inside & (cut != 0)] - low - 1] = eod_id
        if not (tokens[ends[inside] - low - 1] == eod_id).all():
            raise AnnealmixError(
                f"{self.folder / TOKENS}: a donor does not end in EOD; this is a defect of"
                " annealmix, please report it"
            )
        return to

    def _write_tables(self, number: int) -> tuple[dict[str, str], dict[str, str]]:
        """Write the tables' parts of a slice, or share the base's where no slot begins. Returns the
        hashes of what they say, and of the files, by table.
        """
        hashes, files = {}, {}
        for name, schema in TABLES.items():
            path = part_path(self.folder, name, number)
            columns = self._part(name, number)
            if self._put_donors(columns):
                with folder_inside(path.parent) as folder:
                    write_table(path, schema, columns, folder)
            else:
                share(part_path(self._plan.base, name, number), path)
            hashes[name] = part_hash(schema, columns)
            files[name] = file_hash(path)
        return hashes, files

    def _put_donors(self, columns: Columns) -> bool:
        """Name the first donor of each slot in the columns of a part of a table. Returns whether
        there is a slot.
        """
        if self._runs is None or not len(columns["position"]):
            return False
        from mixtures.mix.slots import first_donors  # likewise

        first = int(columns["position"][0])
        donors = first_donors(self.folder, first, first + len(columns["position"]))
        here = (donors["position"] - np.uint64(first)).astype(np.int64)
        for name in columns.keys() & {"digest", "file", "row"}:
            columns[name] = columns[name].copy()
            columns[name][here] = donors[name]
        if "cut" in columns:
            columns["cut"] = columns["cut"].copy()
            columns["cut"][here] |= donors["kind"] != KINDS[EXACT]
        return len(here) > 0

    def _part(self, table: str, number: int) -> Columns:
        """The columns of a part of the base's table, [num_rows] each.

        Raises:
            ManifestError: they are not what the base's manifest says.
        """
        # what audits imports for 0.2 s, which the workers of other stages need not
        from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault

        path = part_path(self._plan.base, table, number)
        try:
            columns = read_part(path, TABLES[table], self._plan.total_documents)
        except UNREADABLE as error:
            raise ManifestError(reading_fault(path, error)) from None
        if part_hash(TABLES[table], columns) != self._plan.parts[table][number]:
            raise damaged(self._plan.base, path)
        return columns


def damaged(base: Path, path: Path) -> ManifestError:
    return ManifestError(
        f"{path}: not what the base's manifest says; it was damaged after it was built: delete"
        f" {base} and build again"
    )


def share(path: Path, copy: Path) -> None:
    """Give a file that will not be written to another name, or where that cannot be, copy it. What
    a stopped build left there gives way.
    """
    copy.unlink(missing_ok=True)
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)
        sync(copy)
    sync(copy.parent)


def _copy(source: int, target: int, offset: int, count: int) -> None:
    """Copy a stretch of a file to the same place of another, as far as there is one; a file system
    that can clone stores once what stays the same. source, target: descriptors.
    """
    end = offset + count
    try:
        while offset < end and (
            done := os.copy_file_range(source, target, end - offset, offset, offset)
        ):
            offset += done
    except (OSError, AttributeError):  # not between these places, or not on this system
        while content := os.pread(source, min(end - offset, _BLOCK_BYTES), offset):
            write_at(target, offset, memoryview(content))
            offset += len(content)
