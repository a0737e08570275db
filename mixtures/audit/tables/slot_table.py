"""The table of slots of an aligned arm, as its file has it or as a build makes it, and what a
manifest says of it.

The rules of a source's own documents (key order, key range, cut, input files) do not hold for what
stands in slots: the table says which documents these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixtures.audit.files import max_rows
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.errors import AuditFailed
from mixtures.keys import KeyRange, digest_columns, order_keys
from mixtures.mix.claims import Claims
from mixtures.mix.judged.arms import DonorClaim, RepeatedClaim, RewritesClaim, SlotClaim
from mixtures.mix.slots import OF_BASE, SLOTS_FILE, slots_schema
from mixtures.mix.tables import Columns, from_arrow, part_hash
from mixtures.stream.arms.donors import KINDS, Fill
from mixtures.stream.placebo import by_class

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


@dataclass
class SlotTable:
    """The table of slots, by (position, offset). fault: why it could not be read; then it is
    empty.
    """

    columns: Columns
    fill: Fill = "fresh"
    """Of the arm."""
    keys: Mapping[str, list[str]] = field(default_factory=dict)
    """By donor source, those that its unused donors come from, in hex."""
    fault: str = ""
    first: Int64s = field(init=False)
    """Of each position that is a slot, its first row; [num_positions], as is what follows."""
    position: Uint64s = field(init=False)

    def __post_init__(self) -> None:
        self.position, self.first = np.unique(self.columns["position"], return_index=True)

    @classmethod
    def read(cls, folder: Path, claims: Claims, max_rows: int) -> SlotTable:
        """The slots of a mix; none of one that is no arm. max_rows: that its .bin can have."""
        # `empty_table` of a schema would have pyarrow import pandas
        arm = claims.arm
        fill: Fill = arm.fill if arm else "fresh"
        keys = {name: donors.keys for name, donors in arm.donors.items()} if arm else {}
        schema = slots_schema(fill, public=claims.public is not None)
        none = pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
        empty = cls(from_arrow(schema, none), fill, keys)
        if arm is None:
            return empty
        path = folder / SLOTS_FILE
        try:
            return cls(read_part(path, schema, max_rows), fill, keys)
        except UNREADABLE as error:
            empty.fault = reading_fault(path, error)
            return empty

    def at(self, position: Uint64s) -> Int64s:
        """Index among the positions of those that are slots, -1 of others: int64 [num_docs].

        position: uint64 [num_docs].
        """
        at = np.searchsorted(self.position, position)
        found = np.full(len(position), -1, np.int64)
        inside = at < len(self.position)
        inside[inside] = self.position[at[inside]] == position[inside]
        found[inside] = at[inside]
        return found

    def rows(self, at: int) -> range:
        """Rows of the table of a position that is a slot, as `at` gives it."""
        ends = [*self.first[at + 1 : at + 2].tolist(), len(self.columns["slot"])]
        return range(int(self.first[at]), ends[0])

    def shortened(self, at: Int64s, num_tokens: Int64s) -> Bools:
        """Whether a document is shortened to fill its slot, and by nothing else: bool [num_docs].

        at: int64 [num_docs], as `at` gives it; num_tokens: int64 [num_docs].
        """
        # tokens of the slot, where the base does not cut its document
        whole: Bools = self._at_first(self.columns["length"], at) == num_tokens
        return self._at_first(self._uneven, at) & whole

    @classmethod
    def proven(cls, folder: Path, claims: Claims) -> SlotTable:
        """As `read`, of the table that the manifest's hash stands for.

        Raises:
            AuditFailed: it is another, or cannot be read.
        """
        found = cls.read(folder, claims, max_rows(folder, claims.layout.dtype.itemsize))
        schema = slots_schema(found.fill, public=claims.public is not None)
        if found.fault or (claims.arm and part_hash(schema, found.columns) != claims.arm.slots):
            raise AuditFailed(
                f"{found.fault or f'{folder / SLOTS_FILE}: is not the one of the manifest'};"
                f" `annealmix audit {folder}` says what else is off"
            )
        return found

    @property
    def inner(self) -> Uint64s:
        """Digests of the donors that stand behind another in their slot, each once, and without
        those that are `repeated`: uint64 [num_inner, 2].
        """
        return np.unique(self.digests[(self.columns["offset"] > 0) & ~self._again], axis=0)

    def repeated(self, at: Int64s) -> Bools:
        """Whether the first donor of a slot stands elsewhere, too: bool [num_docs]. at: int64
        [num_docs], as `at` gives it.
        """
        return self._at_first(self._again, at)

    def repeats(self, at: Int64s) -> Int64s:
        """Times that the first donor of a slot stood already: int64 [num_docs], 0 of others. at:
        int64 [num_docs], as `at` gives it.
        """
        if self.fill != "approved":
            return np.zeros(len(at), np.int64)
        return self._at_first(self.columns["repeat"], at).astype(np.int64)

    def _at_first(self, column: npt.NDArray[Any], at: Int64s) -> npt.NDArray[Any]:
        """A column [num_rows] of the first donor of each slot, 0 of others: [num_docs]. at: int64
        [num_docs], as `at` gives it.
        """
        found, slots = np.zeros(len(at), column.dtype), np.flatnonzero(at >= 0)
        found[slots] = column[self.first[at[slots]]]
        return found

    @cached_property
    def _uneven(self) -> Bools:
        """Whether a donor stands in a slot of another length than its own, bool [num_rows]."""
        return np.asarray(self.columns["kind"] != KINDS[0], np.bool_)

    @cached_property
    def digests(self) -> Uint64s:
        """Of the donors, uint64 [num_rows, 2]."""
        return digest_columns(self.columns["digest"])

    @cached_property
    def of_base(self) -> Bools:
        """Whether a donor that may be a repeat has a key before those of unused ones, and so must
        stand in the base: bool [num_rows].
        """
        found = np.zeros(len(self.digests), np.bool_)
        if self.fill != "approved":
            return found
        if OF_BASE.name in self.columns:
            return np.asarray(self.columns[OF_BASE.name], np.bool_)
        order_key = order_keys(self.digests)
        for name, keys in self.keys.items():
            mine = np.flatnonzero(self.columns["donor_source"] == name)
            found[mine] = KeyRange(0, KeyRange.parse(keys).low).mask(order_key[mine])
        return found

    @cached_property
    def _again(self) -> Bools:
        """Whether a donor is a repeat of the base, or of one with a smaller `repeat`: bool
        [num_rows].
        """
        if self.fill != "approved" or not len(self.digests):
            return np.zeros(len(self.digests), np.bool_)
        _, which = np.unique(self.digests, axis=0, return_inverse=True)
        first = np.full(which.max() + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, which, self.columns["repeat"].astype(np.int64))
        again: Bools = self.of_base | (self.columns["repeat"] > first[which])
        return again

    @cached_property
    def once(self) -> Columns:
        """The columns of each slot at the first of its positions, [num_rows]."""
        _, first = np.unique(self.columns["slot"], return_index=True)
        mine = np.isin(self.columns["position"], self.columns["position"][first])
        more = {"again": self._again, "of_base": self.of_base}
        return {name: values[mine] for name, values in {**self.columns, **more}.items()}

    def sources(self, names: Iterable[str]) -> dict[str, SlotClaim]:
        """What is said of the slots of some sources."""
        once, positions = self.once, self.columns["source"][self.first]
        first, cut = once["offset"] == 0, once["num_tokens"] < once["donor_tokens"]
        found = {}
        for name in names:
            mine = once["source"] == name
            kinds = once["kind"][mine & first]
            found[name] = SlotClaim(
                slots=int((mine & first).sum()),
                exact=int((kinds == KINDS[0]).sum()),
                cut=int((kinds == KINDS[1]).sum()),
                joined=int((kinds == KINDS[2]).sum()),
                tokens=int(once["num_tokens"][mine].sum()),
                cut_tokens=int(once["num_tokens"][mine & cut].sum()),
                positions=int((positions == name).sum()),
            )
        return found

    def donors(self) -> dict[str, DonorClaim]:
        """What is said of the donors of each source."""
        once, found = self.once, {}
        for name, keys in self.keys.items():
            mine = once["donor_source"] == name
            again = mine & once["again"]
            repeated = {}
            if self.fill == "approved":
                _, places = np.unique(once["digest"][mine], axis=0, return_counts=True)
                base = np.unique(once["digest"][mine & once["of_base"]], axis=0)
                repeated["repeated"] = RepeatedClaim(
                    base_documents=len(base),
                    places=int(again.sum()),
                    tokens=int(once["num_tokens"][again].sum()),
                    most=int(places.max(initial=0)),
                )
            found[name] = DonorClaim(
                keys=keys,
                documents=int((mine & ~again).sum()),
                tokens=int(once["num_tokens"][mine].sum()),
                **repeated,
            )
        return found

    @property
    def lengths(self) -> dict[str, int]:
        """Donors as a whole by the least tokens of their class of length."""
        lengths, counts = np.unique(self.once["donor_tokens"], return_counts=True)
        by_length = dict(zip(lengths.tolist(), counts.tolist(), strict=True))
        return {str(least): count for least, count in by_class(by_length).items()}

    @cached_property
    def rewritten(self) -> Bools:
        """Whether a donor is the rewrite of the removed document, bool [num_rows]."""
        count = len(self.columns["slot"])
        found: Bools = self.columns.get("rewrite", np.zeros(count)).astype(np.bool_)
        return found

    def rewrites(self, file: str, sha256: str, unused: int) -> RewritesClaim:
        """What is said of rewrites. file, sha256, unused: as there."""
        once = self.once
        mine = once["rewrite"].astype(np.bool_)
        kept, whole = once["num_tokens"], once["donor_tokens"]
        cut, short = mine & (kept < whole), mine & (kept == whole) & (kept < once["length"])
        return RewritesClaim(
            file=file,
            sha256=sha256,
            documents=int(mine.sum()),
            exact=int((mine & ~cut & ~short).sum()),
            cut=int(cut.sum()),
            followed=int(short.sum()),
            tokens=int(kept[mine].sum()),
            donor_tokens=int(kept[~mine].sum()),
            unused=unused,
        )

    def inner_counts(self) -> tuple[int, int]:
        """Donors that stand behind another, at every position, and those of them that begin with
        BOS where documents do.
        """
        inner = self.columns["offset"] > 0
        return int(inner.sum()), int((inner & (self.columns["num_tokens"] > 1)).sum())
