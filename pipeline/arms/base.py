"""The base of a study, built, and what all of its arms are made from: what is said of them before
their bytes are written, and the base's own files, held against its manifest so that no damage goes
on under a new hash.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.errors import ManifestError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Claims, Description
from mixtures.mix.files import TOKENS, part_path
from mixtures.mix.judged import (
    ArmClaim,
    FilterClaim,
    MaskClaim,
)
from mixtures.mix.tables import TABLES, part_hash, root_hash
from mixtures.stream.arms.study import LoadedStudy
from pipeline.arms.filling import Filling
from pipeline.arms.slots import Places, Slots
from pipeline.build.build import Judged
from pipeline.build.claims.seal import write_manifest
from pipeline.build.output import output
from pipeline.stages.mix_folder import Layout
from pipeline.store.records import file_hash
from pipeline.store.rules import short_key


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
    filters: Mapping[str, FilterClaim]
    """By arm, what its filter removes."""

    def describe(self, arm: str, claim: ArmClaim | MaskClaim) -> Description:
        """What is known of an arm before its bytes are written."""
        filters = self.filters[arm]
        described: manifests.Manifest = {
            **self.claims.described.as_json(),
            "name": f"{self.study.study.name}.{arm}",
            "recipe": self.study.canonical(arm),
            "recipe_digest": self.study.digest(arm),
            "published": {},
            "filters": [filters.as_json()],
            "removed": self._removed(filters, claim),
            "arm" if isinstance(claim, ArmClaim) else "mask": claim.as_json(),
        }
        return Description.model_validate(described)

    def _removed(
        self, filters: FilterClaim, claim: ArmClaim | MaskClaim
    ) -> dict[str, dict[str, int]]:
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

    def publish(
        self, out: Path, described: Description, write: Callable[[Path], Mapping[str, Any]]
    ) -> manifests.Manifest:
        """Have an arm written and let it appear at its place, or find it there.

        Args:
            write: writes all but the manifest into a folder, and returns what the manifest says
                otherwise than the base's, beside what was described.

        Raises:
            RecipeError: something else is at its place.
        """
        layout = self.claims.layout
        slice_chunks = layout.slice_tokens // layout.chunk_tokens
        form = Layout(layout.dtype.itemsize, layout.chunk_tokens, slice_chunks)
        key = short_key([described.as_json(), self.claims.digest])
        with output.building(out, key) as folder:
            if folder is None:
                return output.finished(out, described, form)
            for left in folder.iterdir():  # of a build that was stopped
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            written = write(folder)
            sources = [source.as_json() for source in self.claims.sources]
            manifest = manifests.sealed(
                {**self.claims.as_json(), **described.as_json(), "sources": sources, **written}
            )
            write_manifest(folder, manifest)
            output.publish(folder, out)
            return manifest

    def whole(self, name: str, digest: str) -> Path:
        """A file of the base that has this hash.

        Raises:
            ManifestError: it has another.
        """
        path = self.folder / name
        if file_hash(path, blake3.AUTO) != digest:
            raise damaged(path)
        return path

    def part(self, table: str, number: int) -> dict[str, npt.NDArray[Any]]:
        """The columns of a part of a table, [num_rows] each.

        Raises:
            ManifestError: they are not what the base's manifest says.
        """
        path = part_path(self.folder, table, number)
        try:
            columns = read_part(path, TABLES[table], self.claims.total_documents)
        except UNREADABLE as error:
            raise ManifestError(reading_fault(path, error)) from None
        expected: list[str] = getattr(self.claims.hashes, f"{table}_parts")
        if part_hash(TABLES[table], columns) != expected[number]:
            raise damaged(path)
        return columns

    def require_tokens(self, copy: Path) -> None:
        """Refuse a copy of the base's tokens that is not what its manifest says.

        Raises:
            ManifestError: so is the base.
        """
        if count_tokens(copy, self.claims).chunks != self.claims.hashes.chunks:
            raise damaged(self.folder / TOKENS)


@dataclass(frozen=True)
class Counted:
    """What a .bin holds."""

    chunks: list[str]
    eod_tokens: int
    bos_tokens: int

    @property
    def hashes(self) -> dict[str, object]:
        """As the manifest has them."""
        return {"chunks": self.chunks, "bin": root_hash(self.chunks)}


def count_tokens(path: Path, claims: Claims) -> Counted:
    """Hash and count the chunks of a .bin in the layout of a mix."""
    size, dtype = claims.layout.chunk_tokens, claims.layout.dtype
    tokens = np.memmap(path, dtype, "r")
    chunks, eod_tokens, bos_tokens = [], 0, 0
    for low in range(0, len(tokens), size):
        chunk = np.asarray(tokens[low : low + size])
        chunks.append(blake3(chunk.data.cast("B"), max_threads=blake3.AUTO).hexdigest())
        eod_tokens += int(np.count_nonzero(chunk == claims.tokenizer.eod_id))
        if claims.tokenizer.bos_id is not None:
            bos_tokens += int(np.count_nonzero(chunk == claims.tokenizer.bos_id))
    return Counted(chunks, eod_tokens, bos_tokens)


def damaged(path: Path) -> ManifestError:
    return ManifestError(
        f"{path}: not what the base's manifest says; it was damaged after it was built: delete"
        f" {path.parent} and build again"
    )
