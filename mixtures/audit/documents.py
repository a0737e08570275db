"""The documents table of a mix, held against its manifest before anything is concluded from it: for
comparisons of whole mixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.files import max_rows
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.audit.tables.slot_table import SlotTable
from mixtures.mix.claims import read_claims
from mixtures.mix.files import part_path
from mixtures.mix.manifest import MANIFEST
from mixtures.mix.tables import DOCUMENTS, Columns, part_hash, root_hash

if TYPE_CHECKING:
    import polars as pl

KEY = ["high", "low"]
"""The halves of a digest: `mixtures.keys.digest_columns`."""


def by_digest(digest: npt.NDArray[np.uint64], **columns: npt.NDArray[Any]) -> pl.DataFrame:
    """Documents with the columns of KEY. digest: uint64 [num_docs, 2]; columns: [num_docs]."""
    import polars as pl

    return pl.DataFrame({"high": digest[:, 0], "low": digest[:, 1], **columns})


class MixDocuments:
    """A mix with its documents table, if it has one.

    Args:
        path: of the folder, or of its manifest.json.

    Raises:
        ManifestError: the manifest is missing, damaged or edited.
    """

    def __init__(self, path: Path) -> None:
        self.folder = path.parent if path.name == MANIFEST else path
        self.claims = read_claims(self.folder)
        self.bare = not (self.folder / "documents.parquet").is_dir()
        labels = [source.label for source in self.claims.sources]
        self.names = [*labels, "a source that is not listed"]  # the last for code -1
        self.codes = {
            (source.name, source.copy_number): code
            for code, source in enumerate(self.claims.sources)
        }

    @property
    def max_rows(self) -> int:
        """Rows that its tables can have at most."""
        size = max_rows(self.folder, self.claims.layout.dtype.itemsize)
        return size or self.claims.total_documents

    @property
    def fault(self) -> str:
        """Why nothing can be proven by its documents: it has none, or not those of its manifest.
        Empty if all is well.
        """
        return self._verified[0]

    def incomparable(self, other: MixDocuments) -> str:
        """Why digests of two mixes cannot be compared: of a document they are not the same. Empty
        if they can.
        """
        one, two = self.claims.public, other.claims.public
        if (one and one.salt) == (two and two.salt):
            return ""
        return (
            "digests of a public mix are salted; compare the mixes that they were made of, or make"
            " both public with one salt"
        )

    @property
    def last(self) -> dict[int, bytes]:
        """Digest of the last document of each strand's first epoch that stands in no slot, by its
        code; of a table without fault.
        """
        return self._verified[1]

    @property
    def num_rows(self) -> int:
        """Rows of a table without fault."""
        return self._verified[2]

    @cached_property
    def slots(self) -> SlotTable:
        """The slots of an aligned arm; none of another mix."""
        return SlotTable.read(self.folder, self.claims, self.max_rows)

    @cached_property
    def _verified(self) -> tuple[str, dict[int, bytes], int]:
        if self.bare:
            return (
                f"{self.folder} has a manifest but no documents; key ranges prove nothing of"
                " copies in other sources",
                {},
                0,
            )
        hashes: list[str] = []
        last: dict[int, bytes] = {}
        num_rows = 0
        try:
            for number in range(self.num_parts):
                path = self.part(number)
                columns = read_part(path, DOCUMENTS, self.max_rows, spelled=False)
                hashes.append(part_hash(DOCUMENTS, columns))
                num_rows += len(columns["position"])
                source = self.source_codes(columns)
                first = (columns["epoch"] == 0) & (self.slots.at(columns["position"]) < 0)
                for code in np.unique(source[first]).tolist():
                    row = np.flatnonzero((source == code) & first)[-1]
                    last[code] = columns["digest"][row].tobytes()
        except UNREADABLE as error:
            return reading_fault(self.part(len(hashes)), error), {}, 0
        if self.slots.fault:
            return self.slots.fault, {}, 0
        if root_hash(hashes) != self.claims.hashes.documents:
            return f"{self.folder}: its documents are not those of its manifest", {}, 0
        return "", last, num_rows

    @property
    def num_parts(self) -> int:
        """Parts of the table, as the manifest lists them."""
        return len(self.claims.hashes.documents_parts)

    def part(self, number: int) -> Path:
        """File of a part."""
        return part_path(self.folder, "documents", number)

    def parts(self, *columns: str, spelled: bool = True) -> Iterator[Columns]:
        """Some columns of the table, part by part. spelled: as `read_part` has it.

        Each [num_rows of the part]; digest uint8 [num_rows, 16].
        """
        for number in range(self.num_parts):
            path = self.part(number)
            yield read_part(path, DOCUMENTS, self.max_rows, list(columns), spelled=spelled)

    def coded_parts(self, *columns: str) -> Iterator[Columns]:
        """Some columns of a table without fault, part by part, and `source` as `source_codes` gives
        it.

        `source` is int32 [num_rows of the part], -1 for one that is not listed.
        """
        for part in self.parts(*dict.fromkeys(("source", "copy", *columns)), spelled=False):
            yield {**part, "source": self.source_codes(part)}

    def source_codes(self, columns: Columns) -> npt.NDArray[np.int32]:
        """Index into the manifest's sources of each document, -1 for one that it does not list.
        columns: with source and copy.

        Returns: int32 [num_rows].
        """
        return self.claims.strands_of(columns).astype(np.int32)
