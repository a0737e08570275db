"""The slots of an aligned arm: its table, held against the documents, the manifest and itself.

The rules of a source's own documents (key order, key range, cut, input files) do not hold for what
stands in slots; `SlotTable` says which documents these are, and `Slots` holds them against theirs:
donors of one slot each, from the keys behind the base's, in slots that they fill to the token.
Approved donors may stand in several slots, each time with another number of `repeat`, and in the
base, where they count as repeats of what it has.
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

from mixtures.audit.files import max_rows
from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import Rows
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.errors import AuditFailed
from mixtures.keys import DigestSet, KeyRange, digest_columns, key_bound, order_keys
from mixtures.mix.claims import Claims
from mixtures.mix.judged import ArmClaim, DonorClaim, RepeatedClaim, RewritesClaim, SlotClaim
from mixtures.mix.slots import OF_BASE, SLOTS_FILE, slots_schema, windows_touched
from mixtures.mix.tables import Columns, from_arrow, part_hash
from mixtures.rules.filter_definition import MILLION
from mixtures.stream.arms.donors import KINDS, Fill
from mixtures.stream.placebo import by_class
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
    fill: Fill = "fresh"
    """Of the arm."""
    keys: Mapping[str, list[str]] = field(default_factory=dict)
    """By donor source, those that its unused donors come from, in hex."""
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
        found = np.zeros(len(at), np.bool_)
        slots = np.flatnonzero(at >= 0)
        found[slots] = self._uneven[at[slots]] & (self.whole[at[slots]] == num_tokens[slots])
        return found

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
        found = np.zeros(len(at), np.bool_)
        slots = np.flatnonzero(at >= 0)
        found[slots] = self._again[self.first[at[slots]]]
        return found

    def repeats(self, at: Int64s) -> Int64s:
        """Times that the first donor of a slot stood already: int64 [num_docs], 0 of others. at:
        int64 [num_docs], as `at` gives it.
        """
        found = np.zeros(len(at), np.int64)
        slots = np.flatnonzero(at >= 0)
        if self.fill == "approved":
            found[slots] = self.columns["repeat"][self.first[at[slots]]]
        return found

    @cached_property
    def digests(self) -> Uint64s:
        """Of the donors, uint64 [num_rows, 2]."""
        return digest_columns(np.ascontiguousarray(self.columns["digest"]))

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
        self._repeats = DigestSet(np.unique(table.digests[table.of_base], axis=0))
        self._repeated = np.empty((0, 2), np.uint64)
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
        again = rows.own & self._repeats.holds(rows.digest)
        self._repeated = np.unique(np.concatenate([self._repeated, rows.digest[again]]), axis=0)
        for name, donors in self._arm.donors.items() if not self._claims.public else ():
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
        if len(self._repeated) != len(self._repeats):
            missing = len(self._repeats) - len(self._repeated)
            faults.append(
                f"{plural(missing, 'donor')} with keys that the base uses stand in slots alone"
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
        schema = slots_schema(self._arm.fill, public=self._claims.public is not None)
        if (found := part_hash(schema, columns)) != self._arm.slots:
            yield f"{SLOTS_FILE}: says {found}, the manifest {self._arm.slots}"
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
        whole = self._table.whole[self._table.at(columns["position"])]
        full = ends == whole
        alone = last & (columns["offset"] == 0)
        kind = np.where(~alone, KINDS[2], np.where(kept < had, KINDS[1], KINDS[0]))
        if ((kind != columns["kind"]) & last & full).any() or not np.isin(
            columns["kind"], KINDS
        ).all():
            yield f"{SLOTS_FILE}: a slot is not of the kind that its donors make"
        if (kept > had).any() or (kept < had)[~last].any() or (ends > whole).any():
            yield f"{SLOTS_FILE}: a donor has more tokens than it had, or is cut before the last"
        digests, repeat = self._table.digests, columns.get("repeat", np.zeros(count, np.uint32))
        places = [columns["slot"], columns["offset"], repeat, *digests.T]
        standing = np.unique(np.stack([place.astype(np.uint64) for place in places]), axis=1)
        _, times = np.unique(standing[2:], axis=1, return_counts=True)
        if (times > 1).any():
            yield f"{SLOTS_FILE}: a donor stands in two slots" + (
                " with one number of repeat" if self._arm.fill == "approved" else ""
            )
        if (said := self._arm.rewrites) is not None:
            rewritten = self._table.rewritten
            if (rewritten != (columns["offset"] == 0)).any():
                yield f"{SLOTS_FILE}: a slot does not begin with its rewrite, or has two"
            if (rewritten != (columns["donor_source"] == "")).any():
                yield f"{SLOTS_FILE}: a rewrite is of a source, or a donor of none"
            if (columns["file"][rewritten] != said.file).any():
                yield f"{SLOTS_FILE}: a rewrite of another file than {said.file!r}"
            counted = self._table.rewrites(said.file, said.sha256, said.unused)
            if counted != said:
                yield f"rewrites are {counted.as_json()}, the manifest says {said.as_json()}"
        if (self._arm.rewrites is not None) != (self._arm.fill == "rewrites"):
            yield f"filled {self._arm.fill}, and rewrites are {self._arm.rewrites}"
        if (self._table.of_base & (repeat == 0)).any():
            yield f"{SLOTS_FILE}: a donor with a key that the base uses is said to be no repeat"

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
        found = table.donors()
        for name, donors in arm.donors.items():
            if found[name] != donors:
                yield f"{name}: gives {found[name].as_json()}, the manifest says {donors.as_json()}"
        if arm.lengths and arm.lengths != table.lengths:
            yield f"donors have lengths {table.lengths}, the manifest says {arm.lengths}"
        yield from self._scores()
        counts = table.inner_counts()
        if counts != (arm.inner_documents, arm.inner_begun):
            yield f"{counts} donors stand behind others, and begin; the manifest says otherwise"

    def _scores(self) -> Iterator[str]:
        """What is said of scores fits what is said of slots and the filter."""
        if (said := self._arm.scores) is None:
            return
        (item,) = self._claims.filters
        donors = self._table.digests[~self._table.rewritten]
        for name, one, documents in (
            ("removed", said.removed, sum(source.slots for source in self._arm.sources.values())),
            ("donors", said.donors, len(np.unique(donors, axis=0))),
        ):
            if one.documents != documents or one.scored > documents:
                yield f"{name}: scores of {one.documents:,} documents, there are {documents:,}"
            if len(one.deciles) != 11 * bool(one.scored) or one.deciles != sorted(one.deciles):
                yield f"{name}: scores are no deciles of {one.scored:,}"
        above = int(Decimal(item.classifier.threshold) * MILLION) if item.classifier else None
        least = min(said.removed.deciles, default=MILLION + 1)
        if above is None or not (
            item.placebo or (said.removed.scored == said.removed.documents and least > above)
        ):
            yield "removed: documents without a score above the filter's threshold"

    def _origins(self) -> Iterator[str]:
        """Donors have keys that the base does not use, or are repeats of the base, and that no
        excluded recipe takes, and come from files of their source.
        """
        columns, arm, claims = self._table.columns, self._arm, self._claims
        donors_of = columns["donor_source"][~self._table.rewritten]
        if strange := set(donors_of.tolist()) - arm.donors.keys():
            yield f"{SLOTS_FILE}: donors of {sorted(strange)}, which the manifest does not list"
        if strange := set(columns["source"].tolist()) - arm.sources.keys():
            yield f"{SLOTS_FILE}: slots of {sorted(strange)}, which the manifest does not list"
        keys, repeats = order_keys(self._table.digests), self._table.of_base
        for name, donors in arm.donors.items():
            number = self._numbers.get(name)
            if number is None:
                yield f"{name}: gives donors, and is no source of the mix"
                continue
            mine = columns["donor_source"] == name
            source = claims.sources[number]
            if donors.key_range.minus([source.key_range]):
                yield f"{name}: donors of keys that are not the source's"
            if claims.public:  # neither keys nor files are known of it
                continue
            if not (
                donors.key_range.mask(keys[mine & ~repeats]).all()
                and source.key_range.mask(keys[mine & repeats]).all()
            ):
                yield f"{name}: a donor has a key that the base uses, or none of the source"
            for taken in _excluded(claims, name):
                if taken.mask(keys[mine]).any():
                    yield f"{name}: a donor has a key of an excluded recipe"
            files = {file.path for file in claims.inputs.get(source.definition, [])}
            if strange := set(columns["file"][mine].tolist()) - files:
                yield f"{name}: a donor of {min(strange)!r}, which is no input"


def _excluded(claims: Claims, name: str) -> Iterator[KeyRange]:
    """Key ranges of excluded recipes that read what a source reads."""
    own: Mapping[str, Any] = next(
        (item for item in claims.recipe["sources"] if item["name"] == name), {}
    )
    for item in claims.recipe["exclude"]:
        if all(item.get(key) == own.get(key) for key in ("definition", "quality")):
            yield KeyRange(*(key_bound(Decimal(share)) for share in item["keys"]))
