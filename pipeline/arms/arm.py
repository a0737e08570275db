"""One arm of a study: the bytes of its base with slots overwritten, and tables and a manifest that
say so.

What the arm does not change is the base's own file (tables of stretches without a slot, tokens.idx)
or begins as a copy of it (tokens.bin, of which only slots are written). The copy is held against
the base's manifest before that, so that no damage to the base goes on under a new hash.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.audit.tables.slots import SlotTable
from mixtures.errors import AnnealmixError, ManifestError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Claims, Description
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.judged import (
    ArmClaim,
    FilterClaim,
    FilterFigures,
    RemovedClaim,
    ScoresClaim,
)
from mixtures.mix.slots import SLOTS, SLOTS_FILE
from mixtures.mix.tables import TABLES, part_hash, root_hash
from mixtures.stream.arms.donors import EXACT, KINDS
from mixtures.stream.arms.study import LoadedStudy
from mixtures.stream.placebo import add_lengths, by_class
from pipeline.arms.copies import copy_bytes, share
from pipeline.arms.filling import Filling
from pipeline.arms.slots import Places, Slots
from pipeline.build import output
from pipeline.build.build import Judged
from pipeline.build.description import filter_claim, level_counts
from pipeline.build.placebo import refuse_unlike
from pipeline.build.seal import write_manifest
from pipeline.stages.eligible import score_digest
from pipeline.stages.gathering import ledger_segments, token_files
from pipeline.stages.stream_columns import InputPaths, copy_runs, input_paths, origins
from pipeline.stages.write import Layout, write_table
from pipeline.store.records import file_hash, sync
from pipeline.store.rules import short_key

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Base:
    """The base of a study, built, and what fills the slots of all arms."""

    study: LoadedStudy
    judged: Judged
    folder: Path
    claims: Claims
    slots: Slots
    places: Places
    filling: Filling


def build_arm(base: Base, arm: str, out: Path) -> manifests.Manifest:
    """Write an arm, or find it written, and return its manifest.

    Raises:
        RecipeError: something else is at its place. ManifestError: the base is not what its
            manifest says.
    """
    return _Arm(base, arm).build(out)


class _Arm:
    """An arm while it is made."""

    def __init__(self, base: Base, arm: str) -> None:
        self.base, self.arm, self.claims = base, arm, base.claims
        self.mine = base.slots.arms[arm]
        self.places = base.places.among(self.mine)
        self.pieces = _pieces(base.filling, self.places)
        self.table = self._slots_table()

    def build(self, out: Path) -> manifests.Manifest:
        claims, layout = self.claims, self.claims.layout
        described = self._described()
        token_bytes = layout.dtype.itemsize
        form = Layout(token_bytes, layout.chunk_tokens, layout.slice_tokens // layout.chunk_tokens)
        key = short_key([described.as_json(), claims.digest])
        with output.building(out, key) as folder:
            if folder is None:
                return output.finished(out, described, form)
            for left in folder.iterdir():  # of a build that was stopped
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            share(self._whole(INDEX, claims.hashes.idx), folder / INDEX)
            counted = self._write_tokens(folder / TOKENS)
            hashes = claims.hashes.model_copy(
                update={**counted.hashes, **self._write_tables(folder)}
            )
            write_table(folder / SLOTS_FILE, SLOTS, self.table)
            manifest = manifests.sealed(
                {
                    **claims.as_json(),
                    **described.as_json(),
                    "sources": [source.as_json() for source in claims.sources],
                    "eod_tokens": counted.eod_tokens,
                    "bos_tokens": counted.bos_tokens,
                    "hashes": hashes.as_json(),
                }
            )
            write_manifest(folder, manifest)
            output.publish(folder, out)
            return manifest

    def _whole(self, name: str, digest: str) -> Path:
        """A file of the base that is what its manifest says."""
        path = self.base.folder / name
        if file_hash(path, blake3.AUTO) != digest:
            raise _damaged(path)
        return path

    def _described(self) -> Description:
        """What is known of the arm before its bytes are written."""
        study, claims = self.base.study, self.claims
        filters, claim = self._filter(), self._claim()
        refuse_unlike(study.base.recipe.name, [filters])
        described: manifests.Manifest = {
            **claims.described.as_json(),
            "name": f"{study.study.name}.{self.arm}",
            "recipe": study.canonical(self.arm),
            "recipe_digest": study.digest(self.arm),
            "published": {},
            "filters": [filters.as_json()],
            "removed": self._removed(filters, claim),
            "arm": claim.as_json(),
        }
        return Description.model_validate(described)

    def _filter(self) -> FilterClaim:
        study, judged, slots = self.base.study, self.base.judged, self.base.slots
        use, number = study.filters[self.arm], study.number(self.arm)
        removed, lengths = {}, dict[int, int]()
        for source, name in enumerate(slots.names):
            tokens = slots.num_tokens[self.mine & (slots.source == source)]
            add_lengths(lengths, tokens)
            figures = {"documents": len(tokens), "tokens": int(tokens.sum())}
            first = {f"first_{name}": count for name, count in figures.items()}
            removed[name] = RemovedClaim(**figures, **first)
        scores = None
        if use.definition.classifier is not None:
            documents, hashed = score_digest(judged.choices.values(), number)
            scores = ScoresClaim(documents=documents, blake3=hashed)
        done = FilterFigures(
            scores=scores,
            removed=removed,
            lengths={str(least): count for least, count in by_class(lengths).items()},
        )
        levels = level_counts(use, number, judged.choices)
        return filter_claim(use, done, judged.placebos.get(number), levels)

    def _removed(self, filters: FilterClaim, claim: ArmClaim) -> dict[str, dict[str, int]]:
        """The waterfall of the base, with removed documents and donors at their new places."""
        removed = {}
        for name, counts in self.claims.removed.items():
            removed[name] = dict(counts)
            if name in filters.removed:
                gone, given = filters.removed[name].documents, claim.given(name)
                removed[name] |= {
                    f"filter {filters.label}": gone,
                    "kept": counts["kept"] - gone + given,
                    "beyond quota": counts["beyond quota"] - given,
                }
        return removed

    def _claim(self) -> ArmClaim:
        study, keys = self.base.study.study, self.base.filling.keys
        slots = SlotTable(self.table)
        inner_documents, inner_begun = slots.inner_counts()
        donors = slots.donors({name: stretch.hex() for name, stretch in keys.items()})
        return ArmClaim(
            study=study.name,
            arm=self.arm,
            base=self.claims.identity,
            fill=study.arms[self.arm].fill,
            slots=part_hash(SLOTS, self.table),
            sources=slots.sources(self.base.slots.names),
            donors={name: donor for name, donor in donors.items() if donor.documents},
            inner_documents=inner_documents,
            inner_begun=inner_begun,
        )

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

    def _write_tokens(self, path: Path) -> _Counted:
        """Copy the base's tokens and overwrite the slots."""
        claims, pieces, places = self.claims, self.pieces, self.places
        layout, filling = claims.layout, self.base.filling
        dtype = layout.dtype
        copy_bytes(self.base.folder / TOKENS, path)
        counted = _count(path, claims)
        if counted.chunks != claims.hashes.chunks:
            raise _damaged(self.base.folder / TOKENS)
        tokens = np.memmap(path, dtype, "r+")
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
        return _count(path, claims)

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
                columns = self._part(path, name, parts[number])
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

    def _part(self, path: Path, name: str, expected: str) -> dict[str, npt.NDArray[Any]]:
        """The columns of a part of the base, [num_rows] each, that are what its manifest says."""
        try:
            columns = read_part(path, TABLES[name], self.claims.total_documents)
        except UNREADABLE as error:
            raise ManifestError(reading_fault(path, error)) from None
        if part_hash(TABLES[name], columns) != expected:
            raise _damaged(path)
        return columns


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


@dataclass(frozen=True)
class _Counted:
    """What a .bin holds."""

    chunks: list[str]
    eod_tokens: int
    bos_tokens: int

    @property
    def hashes(self) -> dict[str, object]:
        """As the manifest has them."""
        return {"chunks": self.chunks, "bin": root_hash(self.chunks)}


def _count(path: Path, claims: Claims) -> _Counted:
    """Hash and count the chunks of a .bin."""
    size, dtype = claims.layout.chunk_tokens, claims.layout.dtype
    tokens = np.memmap(path, dtype, "r")
    chunks, eod_tokens, bos_tokens = [], 0, 0
    for low in range(0, len(tokens), size):
        chunk = np.asarray(tokens[low : low + size])
        chunks.append(blake3(chunk.data.cast("B"), max_threads=blake3.AUTO).hexdigest())
        eod_tokens += int(np.count_nonzero(chunk == claims.tokenizer.eod_id))
        if claims.tokenizer.bos_id is not None:
            bos_tokens += int(np.count_nonzero(chunk == claims.tokenizer.bos_id))
    return _Counted(chunks, eod_tokens, bos_tokens)


def _damaged(path: Path) -> ManifestError:
    return ManifestError(
        f"{path}: not what the base's manifest says; it was damaged after it was built: delete"
        f" {path.parent} and build again"
    )
