"""Two mixes of one study, held against each other: they differ in slots alone.

    aligned idx    tokens.idx are equal byte by byte: every trainer makes one schedule of both
    aligned bin    tokens.bin are equal outside the slots of the two
    aligned rows   the tables are equal outside the slots; a slot of both has the same donors; and
                   what an arm's slots have in its base is what its filter removed; arms with other
                   fills have other donors

Reads both .bin and tables once. Memory: a chunk of each, and the slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.audit.pair import try_open
from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.parts import UNREADABLE
from mixtures.keys import digest_columns
from mixtures.mix.files import INDEX, TOKENS
from mixtures.mix.tables import Columns
from mixtures.words import plural

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BLOCK_BYTES = 64 << 20
NAMES = ("aligned idx", "aligned bin", "aligned rows")
EQUAL = ("position", "first_token", "num_tokens", "source", "epoch", "copy")
"""Columns that are equal in slots, too."""


def audit_aligned(folder: Path, others: Sequence[Path]) -> list[Check]:
    """The checks of NAMES, with each of some mixes.

    Raises:
        ManifestError: a manifest is missing, damaged or edited.
    """
    mine = MixDocuments(folder)
    return [check for other in others for check in _Pair(mine, MixDocuments(other)).checks()]


def _fill(mix: MixDocuments) -> object:
    """What decides the donors of a slot; arms for which it is equal share them."""
    arm = mix.claims.arm
    if arm is None or arm.fill == "fresh":
        return "fresh"
    if arm.rewrites is not None:
        return arm.rewrites.sha256
    (judge,) = mix.claims.filters
    return arm.fill, judge.blocklist, judge.classifier and judge.classifier.digest


class _Pair:
    def __init__(self, one: MixDocuments, two: MixDocuments) -> None:
        self.one, self.two = one, two
        self.with_other = f" with {two.claims.name}"

    def checks(self) -> list[Check]:
        names = [f"{name}{self.with_other}" for name in NAMES]
        if fault := self.one.fault or self.two.fault or self.one.incomparable(self.two):
            return [unread(name, fault) for name in names]
        if self.one.claims.base != self.two.claims.base or not (
            self.one.claims.study or self.two.claims.study
        ):
            why = (
                f"{self.one.folder} and {self.two.folder} are no arms of one base, or neither is"
                " an arm"
            )
            return [Check(name, False, "not checked", why) for name in names]
        try:
            return [self._idx(names[0]), self._bin(names[1]), self._rows(names[2])]
        except UNREADABLE as error:
            why = f"a mix cannot be read: {type(error).__name__}: {error}"
            return [unread(name, why) for name in names]

    def _idx(self, name: str) -> Check:
        paths = [side.folder / INDEX for side in (self.one, self.two)]
        sizes = [path.stat().st_size for path in paths]
        faults = [] if sizes[0] == sizes[1] else [f"{sizes[0]:,} bytes and {sizes[1]:,}"]
        for low, one, two in _blocks(paths, np.dtype("u1")):
            if (unlike := one != two).any():
                faults.append(f"they differ at byte {low + int(np.argmax(unlike)):,}")
                break
        return judge(name, f"{sizes[0]:,} bytes are equal", faults)

    def _bin(self, name: str) -> Check:
        """Equal outside of slots; the first token that is not is named, with its document."""
        dtype = self.one.claims.layout.dtype
        pair, why = try_open(self.one.folder / TOKENS, self.one.folder / INDEX)
        if pair is None:
            return unread(name, why[0])
        starts = np.asarray(pair.pointers, np.int64) // dtype.itemsize
        positions = np.union1d(self.one.slots.position, self.two.slots.position).astype(np.int64)
        if len(positions) and positions[-1] >= len(starts):
            return Check(name, False, "not checked", f"there is no document {positions[-1]:,}")
        begins, ends = starts[positions], starts[positions] + pair.sizes[positions]
        faults, different = [], 0
        paths = [side.folder / TOKENS for side in (self.one, self.two)]
        for low, one, two in _blocks(paths, dtype):
            if len(one) != len(two):
                faults.append("one .bin has more tokens than the other")
            count = min(len(one), len(two))
            unlike = low + np.flatnonzero(one[:count] != two[:count])
            at = np.searchsorted(begins, unlike, "right") - 1
            inside = (at >= 0) & (unlike < ends[np.maximum(at, 0)]) if len(ends) else at >= 0
            different += int(inside.sum())
            if not inside.all():
                token = int(unlike[~inside][0])
                document = int(np.searchsorted(starts, token, "right")) - 1
                faults.append(
                    f"token {token:,}, of document {document:,}, differs and is in no slot"
                )
                break
        slots = int((ends - begins).sum())
        figure = (
            f"{len(pair.tokens) - slots:,} tokens outside of slots are equal; of"
            f" {plural(slots, 'token')} in {plural(len(positions), 'place')}, {different:,} differ"
        )
        return judge(name, figure, faults)

    def _rows(self, name: str) -> Check:
        faults: list[str] = []
        gone: dict[str, list[npt.NDArray[np.uint64]]] = {}
        rows = 0
        columns = ("digest", "cut", *EQUAL)
        for one, two in zip(self.one.parts(*columns), self.two.parts(*columns), strict=True):
            rows += len(one["position"])
            faults += self._part(one, two, gone)
        removed = {
            source: len(np.unique(np.concatenate(digests), axis=0))
            for source, digests in gone.items()
        }
        base = self.two.claims if self.one.claims.arm else self.one.claims
        arm = self.one.claims if self.one.claims.arm else self.two.claims
        if base.study is None and arm.arm is not None and not faults:
            for source, said in arm.arm.sources.items():
                if (found := removed.get(source, 0)) != said.slots:
                    faults.append(
                        f"{source}: {found:,} documents of the base gave way, {said.slots:,} are"
                        " said to"
                    )
        total = plural(sum(removed.values()), "document")
        figure = f"{plural(rows, 'row')}; {total} of one gave way in the other"
        return judge(name, figure, faults)

    def _part(
        self, one: Columns, two: Columns, gone: dict[str, list[npt.NDArray[np.uint64]]]
    ) -> Iterator[str]:
        """Faults of a part. gone: by source, digests uint64 [num_docs, 2] of what gave way, to
        which this adds.
        """
        if len(one["position"]) != len(two["position"]):
            yield "the tables have parts of other lengths"
            return
        mine, theirs = (side.slots.at(one["position"]) >= 0 for side in (self.one, self.two))
        for name in EQUAL:
            yield from self._named(one, one[name] != two[name], f"has another {name}")
        unlike = (one["digest"] != two["digest"]).any(axis=1)
        outside = ~(mine | theirs)
        yield from self._named(one, unlike & outside, "is another, and in no slot")
        yield from self._named(one, (one["cut"] != two["cut"]) & outside, "is cut in one of both")
        both = mine & theirs & (_fill(self.one) == _fill(self.two))
        yield from self._named(one, unlike & both, "is a slot of both, with other donors")
        yield from self._named(one, ~unlike & (mine != theirs), "is a slot, and did not give way")
        # what the slots of one have in the other, which does not have them
        for side, there in ((mine & ~theirs, two), (theirs & ~mine, one)):
            for source in np.unique(there["source"][side].astype(str)).tolist():
                rows = there["digest"][side & (there["source"] == source)]
                gone.setdefault(source, []).append(digest_columns(rows))

    def _named(self, rows: Columns, wrong: npt.NDArray[Any], what: str) -> Iterator[str]:
        """The first row that is wrong. wrong: bool [num_rows]."""
        if wrong.any():
            yield f"document {int(rows['position'][np.argmax(wrong)]):,} {what}"


def _blocks(
    paths: Sequence[Path], dtype: np.dtype[Any]
) -> Iterator[tuple[int, npt.NDArray[Any], npt.NDArray[Any]]]:
    """Two files side by side: where a block begins, and its numbers in both, [num_of_block]
    each.
    """
    with paths[0].open("rb") as one, paths[1].open("rb") as two:
        low = 0
        while True:
            blocks = [np.frombuffer(file.read(BLOCK_BYTES), dtype) for file in (one, two)]
            if not len(blocks[0]) and not len(blocks[1]):
                return
            yield low, blocks[0], blocks[1]
            low += len(blocks[0])
