"""The slots of an aligned arm: its table, held against the documents, the manifest and itself.

The rules of a source's own documents (key order, key range, cut, input files) do not hold for what
stands in slots; `SlotTable` says which documents these are, and `Slots` holds them against theirs:
donors of one slot each, from the keys behind the base's, in slots that they fill to the token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import Rows
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.keys import KeyRange, digest_columns, key_bound, order_keys
from mixtures.mix.claims import Claims
from mixtures.mix.judged import ArmClaim, DonorClaim, SlotClaim
from mixtures.mix.slots import SLOTS, SLOTS_FILE, windows_touched
from mixtures.mix.tables import Columns, from_arrow, part_hash
from mixtures.stream.arms.donors import KINDS
from mixtures.words import plural

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


@dataclass
class SlotTable:
    """The table of slots, by (position, offset). fault: why it could not be read; then it is
    empty.
    """

    columns: Columns
    fault: str = ""
    first: Int64s = field(init=False)
    """Of each position that is a slot, its first row; [num_positions], as is what follows."""
    position: Uint64s = field(init=False)
    whole: Int64s = field(init=False)
    """Tokens of the slot, where the base does not cut its document."""

    def __post_init__(self) -> None:
        position = self.columns["position"]
        self.position, self.first = np.unique(position, return_index=True)
        self.whole = self.columns["length"][self.first].astype(np.int64)
        self._uneven = (self.columns["kind"][self.first] != KINDS[0]).astype(np.bool_)

    @classmethod
    def read(cls, folder: Path, claims: Claims, max_rows: int) -> SlotTable:
        """The slots of a mix; none of one that is no arm. max_rows: that its .bin can have."""
        # `empty_table` of a schema would have pyarrow import pandas
        none = pa.Table.from_arrays([pa.nulls(0, field.type) for field in SLOTS], schema=SLOTS)
        empty = cls(from_arrow(SLOTS, none))
        if claims.arm is None:
            return empty
        path = folder / SLOTS_FILE
        try:
            return cls(read_part(path, SLOTS, max_rows))
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
        found = np.zeros(len(at), np.bool_)
        slots = np.flatnonzero(at >= 0)
        found[slots] = self._uneven[at[slots]] & (self.whole[at[slots]] == num_tokens[slots])
        return found

    @property
    def inner(self) -> Uint64s:
        """Digests of the donors that stand behind another in their slot, each once: uint64
        [num_inner, 2].
        """
        inner = self.columns["digest"][self.columns["offset"] > 0]
        return np.unique(digest_columns(np.ascontiguousarray(inner)), axis=0)

    @cached_property
    def _once(self) -> Columns:
        """The columns of each slot at the first of its positions, [num_rows]."""
        _, first = np.unique(self.columns["slot"], return_index=True)
        mine = np.isin(self.columns["position"], self.columns["position"][first])
        return {name: values[mine] for name, values in self.columns.items()}

    def sources(self, names: Iterable[str]) -> dict[str, SlotClaim]:
        """What is said of the slots of some sources."""
        once, positions = self._once, self.columns["source"][self.first]
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

    def donors(self, keys: Mapping[str, list[str]]) -> dict[str, DonorClaim]:
        """What is said of the donors of some sources. keys: in hex, of each."""
        once, found = self._once, {}
        for name, stretch in keys.items():
            mine = once["donor_source"] == name
            found[name] = DonorClaim(
                keys=stretch,
                documents=int(mine.sum()),
                tokens=int(once["num_tokens"][mine].sum()),
            )
        return found

    def inner_counts(self) -> tuple[int, int]:
        """Donors that stand behind another, at every position, and those of them that begin with
        BOS where documents do.
        """
        inner = self.columns["offset"] > 0
        return int(inner.sum()), int((inner & (self.columns["num_tokens"] > 1)).sum())


class Slots:
    """What stands in the slots, document by document, and what the manifest says of all of them."""

    name = "slots"

    def __init__(self, claims: Claims, arm: ArmClaim, table: SlotTable) -> None:
        self._claims, self._arm, self._table = claims, arm, table
        self._numbers = {
            source.name: number
            for number, source in enumerate(claims.sources)
            if not (source.copy_number or source.insert)
        }
        self._met = 0
        self._windows, self._last = 0, -1
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        columns, at = self._table.columns, rows.slot
        slots = np.flatnonzero(at >= 0)
        self._met += len(slots)
        found, self._last = windows_touched(
            rows.first_token[slots].astype(np.int64), rows.num_tokens[slots], self._last
        )
        self._windows += found
        first = self._table.first[at[slots]]
        last = np.append(self._table.first[1:], len(columns["slot"]))[at[slots]] - 1
        filled = columns["offset"][last].astype(np.int64) + columns["num_tokens"][last]
        number = np.array(
            [self._numbers.get(name, -2) for name in columns["source"][first].tolist()], np.int64
        )
        digest = digest_columns(np.ascontiguousarray(columns["digest"][first]))
        for wrong, what in (
            ((rows.digest[slots] != digest).any(axis=1), "is another than its slot says"),
            (rows.source[slots] != number, "is of another source than its slot"),
            (rows.num_tokens[slots] != filled, "has other tokens than its slot's donors"),
        ):
            self._note(rows, slots[wrong], what)
        if rows.file is not None:
            files = np.array(rows.files, object)[rows.file[slots]]
            self._note(
                rows,
                slots[files != columns["file"][first]],
                "comes from another file than its slot says",
            )
        for name, donors in self._arm.donors.items():
            own = np.flatnonzero((at < 0) & (rows.source == self._numbers.get(name, -2)))
            behind = ~KeyRange(0, donors.key_range.low).mask(rows.order_key[own])
            self._note(rows, own[behind], f"has a key of {name} that only donors may have")

    def _note(self, rows: Rows, wrong: Int64s, what: str) -> None:
        if len(wrong):
            self._faults.append(f"{rows.where(int(wrong[0]))} {what}")

    def result(self) -> Check:
        if self._table.fault:
            return unread(self.name, self._table.fault)
        faults = [*self._faults, *self._form(), *self._figures(), *self._origins()]
        if self._met != len(self._table.position):
            faults.append(
                f"{len(self._table.position):,} positions are slots, {self._met:,} of them are"
                " documents"
            )
        if self._windows != self._arm.windows:
            faults.append(
                f"slots touch {self._windows:,} windows, the manifest says {self._arm.windows:,}"
            )
        sources = self._arm.sources.values()
        kinds = ", ".join(
            f"{sum(getattr(one, kind) for one in sources):,} {kind}" for kind in KINDS
        )
        slots = sum(one.slots for one in sources)
        return judge(self.name, f"{plural(slots, 'slot')}: {kinds}", faults)

    def _form(self) -> Iterator[str]:
        """What any table of slots is: full slots, and donors that stand in one slot each."""
        columns, count = self._table.columns, len(self._table.columns["slot"])
        if part_hash(SLOTS, columns) != self._arm.slots:
            yield f"{SLOTS_FILE}: says {part_hash(SLOTS, columns)}, the manifest {self._arm.slots}"
        same = columns["position"][1:] == columns["position"][:-1]
        ends = columns["offset"].astype(np.int64) + columns["num_tokens"]
        starts = np.where(same, ends[:-1], 0) if count else ends
        if count and (
            (columns["position"][1:] < columns["position"][:-1]).any()
            or (columns["offset"][1:] != starts).any()
            or columns["offset"][0] != 0
        ):
            yield f"{SLOTS_FILE}: donors do not follow each other in their slots"
        for name in ("slot", "length", "source", "kind"):
            if (columns[name][1:] != columns[name][:-1])[same].any():
                yield f"{SLOTS_FILE}: one position has two values of {name}"
        kept, had = columns["num_tokens"].astype(np.int64), columns["donor_tokens"]
        last = np.append(~same, True)[:count]
        whole = self._table.whole[np.cumsum(~np.append(False, same)[:count]) - 1] if count else ends
        full = ends == whole
        alone = last & (columns["offset"] == 0)
        kind = np.where(~alone, KINDS[2], np.where(kept < had, KINDS[1], KINDS[0]))
        if ((kind != columns["kind"]) & last & full).any() or not np.isin(
            columns["kind"], KINDS
        ).all():
            yield f"{SLOTS_FILE}: a slot is not of the kind that its donors make"
        if (kept > had).any() or (kept < had)[~last].any() or (ends > whole).any():
            yield f"{SLOTS_FILE}: a donor has more tokens than it had, or is cut before the last"
        pairs = np.unique(
            np.stack([columns["slot"], *digest_columns(_rows(columns["digest"])).T]), axis=1
        )
        _, times = np.unique(pairs[1:], axis=1, return_counts=True)
        if (times > 1).any():
            yield f"{SLOTS_FILE}: a donor stands in two slots"

    def _figures(self) -> Iterator[str]:
        """What the manifest says of slots and donors, counted again."""
        table, arm = self._table, self._arm
        counted = table.sources(arm.sources)
        for name, said in arm.sources.items():
            if counted[name] != said:
                figures = f"{counted[name].as_json()}, the manifest says {said.as_json()}"
                yield f"{name}: slots are {figures}"
            removed = [item.removed[name].documents for item in self._claims.filters]
            if removed != [said.slots]:
                yield f"{name}: {said.slots:,} slots, its filter removes {removed}"
        found = table.donors({name: donors.keys for name, donors in arm.donors.items()})
        for name, donors in arm.donors.items():
            if found[name] != donors:
                yield f"{name}: gives {found[name].as_json()}, the manifest says {donors.as_json()}"
        counts = table.inner_counts()
        if counts != (arm.inner_documents, arm.inner_begun):
            yield f"{counts} donors stand behind others, and begin; the manifest says otherwise"

    def _origins(self) -> Iterator[str]:
        """Donors have keys that the base does not use and no excluded recipe takes, and come from
        files of their source.
        """
        columns, arm, claims = self._table.columns, self._arm, self._claims
        if strange := set(columns["donor_source"].tolist()) - arm.donors.keys():
            yield f"{SLOTS_FILE}: donors of {sorted(strange)}, which the manifest does not list"
        if strange := set(columns["source"].tolist()) - arm.sources.keys():
            yield f"{SLOTS_FILE}: slots of {sorted(strange)}, which the manifest does not list"
        keys = order_keys(digest_columns(_rows(columns["digest"])))
        for name, donors in arm.donors.items():
            number = self._numbers.get(name)
            if number is None:
                yield f"{name}: gives donors, and is no source of the mix"
                continue
            mine = columns["donor_source"] == name
            source = claims.sources[number]
            if donors.key_range.minus([source.key_range]):
                yield f"{name}: donors of keys that are not the source's"
            if not donors.key_range.mask(keys[mine]).all():
                yield f"{name}: a donor has a key that the base uses, or none of the source"
            for taken in _excluded(claims, name):
                if taken.mask(keys[mine]).any():
                    yield f"{name}: a donor has a key of an excluded recipe"
            files = {file.path for file in claims.inputs.get(source.definition, [])}
            if strange := set(columns["file"][mine].tolist()) - files:
                yield f"{name}: a donor of {min(strange)!r}, which is no input"


def _rows(digests: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Digests side by side in memory, [num_rows, 16] both."""
    return np.ascontiguousarray(digests)


def _excluded(claims: Claims, name: str) -> Iterator[KeyRange]:
    """Key ranges of excluded recipes that read what a source reads."""
    own: Mapping[str, Any] = next(
        (item for item in claims.recipe["sources"] if item["name"] == name), {}
    )
    for item in claims.recipe["exclude"]:
        if all(item.get(key) == own.get(key) for key in ("definition", "quality")):
            yield KeyRange(*(key_bound(Decimal(share)) for share in item["keys"]))
