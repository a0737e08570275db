"""The slots of an aligned arm, held against the documents, the manifest and themselves: donors of
one slot each, from the keys behind the base's, in slots that they fill to the token. Approved
donors may stand in several slots, each time with another number of `repeat`, and in the base, where
they count as repeats of what it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import Rows
from mixtures.audit.tables.slot_table import SlotTable
from mixtures.keys import DigestSet, KeyRange, digest_columns, key_bound, order_keys
from mixtures.mix.claims import Claims
from mixtures.mix.judged.arms import ArmClaim
from mixtures.mix.slots import SLOTS_FILE, slots_schema, windows_touched
from mixtures.mix.tables import part_hash
from mixtures.rules.filter_definition import MILLION
from mixtures.stream.arms.donors import KINDS
from mixtures.words import plural

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


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
        digest = digest_columns(columns["digest"][first])
        for wrong, what in (
            ((rows.digest[slots] != digest).any(axis=1), "is another than its slot says"),
            (rows.source[slots] != number, "is of another source than its slot"),
            (rows.num_tokens[slots] != filled, "has other tokens than its slot's donors"),
        ):
            self._faults += rows.first(slots[wrong], what)
        if rows.file is not None:
            files = np.array(rows.files, object)[rows.file[slots]]
            strange = slots[files != columns["file"][first]]
            self._faults += rows.first(strange, "comes from another file than its slot says")
        again = rows.own & self._repeats.holds(rows.digest)
        self._repeated = np.unique(np.concatenate([self._repeated, rows.digest[again]]), axis=0)
        for name, donors in self._arm.donors.items() if not self._claims.public else ():
            own = np.flatnonzero((at < 0) & (rows.source == self._numbers.get(name, -2)))
            behind = ~KeyRange(0, donors.key_range.low).mask(rows.order_key[own])
            what = f"has a key of {name} that only donors may have"
            self._faults += rows.first(own[behind], what)

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
        # of the slot, where the base does not cut its document
        whole = columns["length"][self._table.first[self._table.at(columns["position"])]]
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
            by_filter = [item.removed.get(name) for item in self._claims.filters]
            removed = [of_source and of_source.documents for of_source in by_filter]
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
