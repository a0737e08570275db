"""An arm whose slots are filled: the bytes of its base with slots overwritten, and tables that say
so.

What the arm does not change is the base's own file (tables of stretches without a slot, tokens.idx)
or begins as a copy of it (tokens.bin, of which only slots are written).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.tables.slots import SlotTable
from mixtures.errors import AnnealmixError
from mixtures.mix import manifest as manifests
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.judged import ArmClaim
from mixtures.mix.slots import SLOTS, SLOTS_FILE, windows_touched
from mixtures.mix.tables import TABLES, part_hash, root_hash
from mixtures.stream.arms.donors import EXACT, KINDS
from pipeline.arms.base import Base, Counted, count_tokens
from pipeline.arms.copies import copy_bytes, share
from pipeline.arms.filling import Filling
from pipeline.arms.slots import Places
from pipeline.stages.gathering import ledger_segments, token_files
from pipeline.stages.mix_folder import write_table
from pipeline.stages.stream_columns import InputPaths, copy_runs, input_paths, origins
from pipeline.store.records import sync

Int64s = npt.NDArray[np.int64]


def build_arm(base: Base, arm: str, out: Path) -> manifests.Manifest:
    """Write an arm, or find it written, and return its manifest.

    Raises:
        RecipeError: something else is at its place. ManifestError: the base is not what its
            manifest says.
    """
    made = _Arm(base, arm)
    return base.publish(out, base.describe(arm, made.claim()), made.write)


class _Arm:
    """An arm while it is made."""

    def __init__(self, base: Base, arm: str) -> None:
        self.base, self.arm, self.claims = base, arm, base.claims
        self.places = base.places.among(base.slots.arms[arm])
        self.pieces = _pieces(base.filling, self.places)
        self.table = self._slots_table()

    def claim(self) -> ArmClaim:
        """What the manifest says of the slots."""
        slots, keys = SlotTable(self.table), self.base.filling.keys
        inner_documents, inner_begun = slots.inner_counts()
        donors = slots.donors({name: stretch.hex() for name, stretch in keys.items()})
        return ArmClaim(
            study=self.base.study.study.name,
            arm=self.arm,
            base=self.claims.identity,
            fill="fresh",
            slots=part_hash(SLOTS, self.table),
            sources=slots.sources(self.base.slots.names),
            donors={name: donor for name, donor in donors.items() if donor.documents},
            inner_documents=inner_documents,
            inner_begun=inner_begun,
            windows=windows_touched(self.places.first_token, self.places.num_tokens)[0],
        )

    def write(self, folder: Path) -> Mapping[str, object]:
        """Write all but the manifest. Returns what that says of the bytes."""
        claims = self.claims
        share(self.base.whole(INDEX, claims.hashes.idx), folder / INDEX)
        counted = self._write_tokens(folder / TOKENS)
        tables = self._write_tables(folder)
        write_table(folder / SLOTS_FILE, SLOTS, self.table)
        return {
            "eod_tokens": counted.eod_tokens,
            "bos_tokens": counted.bos_tokens,
            "hashes": {**claims.hashes.as_json(), **counted.hashes, **tables},
        }

    def _slots_table(self) -> dict[str, npt.NDArray[Any]]:
        """The columns of slots.parquet, [num_rows] each."""
        filling, slots, pieces = self.base.filling, self.base.slots, self.pieces
        names, slot = np.array(slots.names, object), self.places.slot[pieces.place]
        donor = filling.donor[pieces.piece]
        found = filling.donors
        paths = InputPaths(input_paths)
        files, rows = origins(
            ledger_segments(self.base.judged.plan.sources),
            found.segment[donor],
            found.ledger_row[donor],
            paths,
        )
        return {
            "position": self.places.position[pieces.place],
            "slot": slot,
            "offset": pieces.offset,
            "num_tokens": pieces.num_tokens,
            "length": slots.num_tokens[slot],
            "source": names[slots.source[slot]],
            "kind": np.array(KINDS, object)[filling.kind[pieces.piece]],
            "digest": found.digest[donor].astype(">u8").view(np.uint8).reshape(-1, 16),
            "donor_source": names[filling.donor_source[donor]],
            "donor_tokens": found.num_tokens[donor],
            "file": np.array(paths.names, object)[files],
            "row": rows,
        }

    def _write_tokens(self, path: Path) -> Counted:
        """Copy the base's tokens and overwrite the slots."""
        claims, pieces, places = self.claims, self.pieces, self.places
        filling = self.base.filling
        copy_bytes(self.base.folder / TOKENS, path)
        self.base.require_tokens(path)
        tokens = np.memmap(path, claims.layout.dtype, "r+")
        donor = filling.donor[pieces.piece]
        begin = places.first_token[pieces.place] + pieces.offset
        end = begin + pieces.num_tokens
        paths = token_files(self.base.judged.plan.sources)
        short = pieces.num_tokens < filling.donors.num_tokens[donor]
        part = places.part[pieces.place]
        for number in np.unique(part).tolist():
            here = np.flatnonzero(part == number)
            copy_runs(
                tokens,
                paths,
                filling.donors.token_file[donor[here]],
                filling.donors.offset[donor[here]],
                (begin[here], end[here]),
            )
        tokens[end[short] - 1] = claims.tokenizer.eod_id
        if not (tokens[end - 1] == claims.tokenizer.eod_id).all():
            raise AnnealmixError(
                f"{path}: a donor does not end in EOD; this is a defect of annealmix, please"
                " report it"
            )
        tokens.flush()
        del tokens
        sync(path)
        return count_tokens(path, claims)

    def _write_tables(self, folder: Path) -> dict[str, object]:
        """Write the tables' parts that have slots, and share the others. Returns the hashes."""
        hashes: dict[str, object] = {}
        first = self.pieces.offset == 0
        table = {name: column[first] for name, column in self.table.items()}
        for name in TABLES:
            (folder / f"{name}.parquet").mkdir()
            parts = list(getattr(self.claims.hashes, f"{name}_parts"))
            for number in range(len(parts)):
                mine = np.flatnonzero(self.places.part == number)
                path, copy = (part_path(at, name, number) for at in (self.base.folder, folder))
                columns = self.base.part(name, number)
                if not len(mine):
                    share(path, copy)
                    continue
                here = (table["position"][mine] - int(columns["position"][0])).astype(np.int64)
                if name == "documents":
                    columns["digest"] = columns["digest"].copy()
                    columns["cut"] = columns["cut"].copy()
                    columns["digest"][here] = table["digest"][mine]
                    columns["cut"][here] |= table["kind"][mine] != KINDS[EXACT]
                else:
                    columns["file"], columns["row"] = columns["file"].copy(), columns["row"].copy()
                    columns["file"][here] = table["file"][mine]
                    columns["row"][here] = table["row"][mine]
                write_table(copy, TABLES[name], columns)
                parts[number] = part_hash(TABLES[name], columns)
            hashes |= {f"{name}_parts": parts, name: root_hash(parts)}
        return hashes


@dataclass(frozen=True)
class _Pieces:
    """Pieces of donors at the places of an arm, in the order of the stream; int64 [num_rows]."""

    place: Int64s
    """Index into the arm's places."""
    piece: Int64s
    """Index into the filling's."""
    offset: Int64s
    num_tokens: Int64s
    """That stand there: where the base cuts a document, its slot is cut as well."""


def _pieces(filling: Filling, places: Places) -> _Pieces:
    first = np.searchsorted(filling.slot, places.slot, "left")
    count = np.searchsorted(filling.slot, places.slot, "right") - first
    place = np.repeat(np.arange(len(count)), count)
    piece = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count) + first[place]
    offset = filling.offset[piece]
    there = np.minimum(filling.kept[piece], places.num_tokens[place] - offset)
    stands = there > 0
    return _Pieces(place[stands], piece[stands], offset[stands], there[stands])
