"""The slots of an arm, or what it masks, beside the store: which documents of the base its filter
removes only the store knows, and which donors the rule puts into their places.

A study's filters judge the base again, and its donors are shared out again, as its build did
(`pipeline.commands.trace.arm`). Where the removed documents stand is told by the walk over all
documents (`pipeline.commands.audit.stored`), which has the base's at every place.

Memory: the slots of all arms, and a chunk of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.audit.tables.mask import read_mask
from mixtures.audit.tables.parts import UNREADABLE, reading_fault
from mixtures.mix.slots import MASK_FILE, SLOTS_FILE
from mixtures.words import plural
from pipeline.arms.arm import FilledArm
from pipeline.arms.base import Base
from pipeline.arms.slots import Places
from pipeline.commands.trace.arm import ArmStore
from pipeline.stages.stream_columns import copy_runs

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]


class StoredSlots:
    """An arm, and where its base has what the arm's filter removes.

    mix, arm: of the same arm.
    """

    def __init__(self, mix: MixDocuments, arm: ArmStore) -> None:
        self.mix, self.arm = mix, arm
        self._mine, self._label = arm.mine, arm.arm.filters[0].label
        self._found: list[list[Int64s]] = []
        self._faults: list[str] = []

    def add(
        self, source: str, position: Uint64s, tokens: tuple[Int64s, Int64s], of: Uint64s
    ) -> None:
        """Note some documents of the arm.

        Args:
            source: of all of them. position: uint64 [num_docs]. tokens: before each, and of each;
                int64 [num_docs] both. of: uint64 [num_docs, 2], digests of what the base has there.
        """
        if source not in self.arm.slots.names or not len(self._mine):
            return
        number = np.full(len(of), self.arm.slots.names.index(source))
        slot = self.arm.slot_index.of(of, number)
        removed = (slot >= 0) & self._mine[slot]
        if self.arm.arm.arm:
            filled = self.mix.slots.at(position) >= 0
            for wrong, what in (
                (removed & ~filled, f"is removed by filter {self._label}, and stands in no slot"),
                (filled & ~removed, f"is a slot, and filter {self._label} removes nothing there"),
            ):
                self._note(position[wrong], what)
        here = np.flatnonzero(removed)
        columns = (slot, position.astype(np.int64), *tokens)
        self._found.append([column[here] for column in columns])

    def _note(self, position: Uint64s, what: str) -> None:
        if len(position):
            more = f", and {len(position) - 1:,} more" if len(position) > 1 else ""
            self._faults.append(f"document {int(position[0]):,} {what}{more}")

    @property
    def _places(self) -> Places:
        """Of the arm's slots, in the order of the stream."""
        empty = [np.empty(0, np.int64)] * 4
        columns = [np.concatenate(column) for column in zip(empty, *self._found, strict=True)]
        order = np.argsort(columns[1], kind="stable")
        return Places(*(column[order] for column in columns))

    @property
    def _rewritten(self) -> bool:
        return self.arm.arm.arm is not None and self.arm.arm.arm.rewrites is not None

    @property
    def figure(self) -> str:
        """What was held against the store."""
        slots = plural(int(self._mine.sum()), "document")
        done = "stand in slots, filled by the rule" if self.arm.arm.arm else "are masked"
        if self._rewritten:
            done = "stand in slots; rewrites are not in the store, so what fills these is not held"
        return f"{slots} that filter {self._label} removes {done}"

    def faults(self, stream: npt.NDArray[Any]) -> list[str]:
        """What is wrong, after all documents were added. stream: uint16 or int32 [num_tokens]."""
        places = self._places
        if missing := int(self._mine.sum()) - len(np.unique(places.slot)):
            self._faults.append(
                f"{plural(missing, 'document')} that filter {self._label} removes stand nowhere"
            )
        if self._rewritten:
            return self._faults
        found = self._filled(places, stream) if self.arm.arm.arm else self._masked(places)
        return [*self._faults, *found]

    def _masked(self, places: Places) -> Iterator[str]:
        try:
            runs = read_mask(self.mix.folder, self.mix.max_rows)
        except UNREADABLE as error:
            yield reading_fault(self.mix.folder / MASK_FILE, error)
            return
        start, length = (runs[name].astype(np.int64) for name in ("start", "length"))
        at = np.searchsorted(places.first_token, start, "right") - 1
        inside = at >= 0
        begin, end = places.first_token[at[inside]], places.num_tokens[at[inside]]
        inside[inside] = (start + length)[inside] <= begin + end
        if not inside.all():
            token = int(start[np.argmin(inside)])
            yield f"{MASK_FILE}: the run at token {token:,} is of a document that is not flagged"
        assert self.arm.arm.mask is not None
        masked = np.bincount(at[inside], length[inside], minlength=len(places.slot))
        wrong = masked != places.num_tokens
        if self.arm.arm.mask.fill == "mask-terms":  # of a cut document the terms may be cut off
            wrong = (masked == 0) & (places.num_tokens == self.arm.slots.num_tokens[places.slot])
        if wrong.any():
            document = int(places.position[np.argmax(wrong)])
            yield f"{MASK_FILE}: document {document:,} is flagged, and masked otherwise"

    def _filled(self, places: Places, stream: npt.NDArray[Any]) -> Iterator[str]:
        """What stands otherwise in slots. stream: as of `faults`, uint16 or int32 [num_tokens]."""
        arm, claims = self.arm, self.arm.arm
        if self.mix.slots.fault:
            yield self.mix.slots.fault
            return
        assert claims.arm is not None
        base = Base(
            study=arm.study,
            judged=arm.judged,
            folder=self.mix.folder,
            claims=claims,
            slots=arm.slots,
            places=places,
            fillings={claims.arm.arm: arm.filling},
            filters={},
            masks={},
        )
        due, held = FilledArm(base, claims.arm.arm), self.mix.slots.columns
        said = {name: donors.keys for name, donors in claims.arm.donors.items()}
        keys = {name: stretch.hex() for name, stretch in arm.filling.keys.items() if name in said}
        if said != keys:
            yield f"donors have keys {keys} by the study, the manifest says {said}"
        scores = due.scores() if claims.arm.scores else None
        if scores != claims.arm.scores:
            yield f"scores are {scores} in the store, the manifest says {claims.arm.scores}"
        count, rows = len(due.table["position"]), len(held["position"])
        if rows != count:
            yield f"{SLOTS_FILE}: {plural(rows, 'row')}, the rule makes {count:,}"
            return
        unlike = {name: _unlike(values, held[name]) for name, values in due.table.items()}
        for name in ("digest", *unlike):  # of two donors in each other's place, the donors first
            if unlike[name].any():
                yield _named(name, int(np.argmax(unlike[name])), held, due.table)
                return
        yield from self._tokens(due, stream)

    def _tokens(self, due: FilledArm, stream: npt.NDArray[Any]) -> Iterator[str]:
        """Tokens of donors that are not the store's. stream: uint16 or int32 [num_tokens]."""
        begin, end, file, offset, cut = due.runs()
        layout, eod_id = self.arm.arm.layout, self.arm.arm.tokenizer.eod_id
        block = np.cumsum(end - begin) // layout.chunk_tokens
        for group in np.split(np.arange(len(begin)), np.flatnonzero(np.diff(block)) + 1):
            stops = np.cumsum((end - begin)[group])
            starts = stops - (end - begin)[group]
            stretches = zip(begin[group].tolist(), end[group].tolist(), strict=True)
            held = np.concatenate([stream[:0], *(stream[low:high] for low, high in stretches)])
            if len(group) and len(held) < stops[-1]:
                yield "a slot is beyond the end of the .bin"
                return
            tokens = held.copy()
            copy_runs(tokens, due.base.token_files, file[group], offset[group], (starts, stops))
            tokens[stops[cut[group] != 0] - 1] = eod_id
            if not np.array_equal(tokens, held):
                run = group[int(np.searchsorted(stops, np.argmax(tokens != held), "right"))]
                at = int(np.searchsorted(due.places.first_token, begin[run], "right")) - 1
                document = int(due.places.position[at])
                yield f"document {document:,} has other tokens than its donor in the store"
                return


def _unlike(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Rows that differ, bool [num_rows]; both [num_rows], or digests [num_rows, 16]."""
    wrong: npt.NDArray[np.bool_] = np.asarray(one != two, np.bool_)
    return wrong if wrong.ndim == 1 else np.asarray(wrong.any(axis=1))


def _named(name: str, row: int, held: Any, due: Any) -> str:
    """How a row of the table of slots is another than by the rule. held, due: its columns."""
    words = [
        value[row].tobytes().hex() if name == "digest" else str(value[row])
        for value in (np.ascontiguousarray(held[name]), np.ascontiguousarray(due[name]))
    ]
    what = "donor" if name == "digest" else name
    return (
        f"{SLOTS_FILE}: row {row:,}, in document {int(due['position'][row]):,}: its {what} is"
        f" {words[0]}, by the rule {words[1]}"
    )
