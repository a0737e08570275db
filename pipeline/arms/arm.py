"""An arm whose slots are filled: which donor stands where in it, where its tokens are, and what the
arm's classifier says of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.tables.slot_table import SlotTable
from mixtures.keys import digest_columns
from mixtures.mix.judged.arms import ArmClaim, ArmScoresClaim, ScoredClaim
from mixtures.mix.slots import SLOTS_FILE, slots_schema, windows_touched
from mixtures.mix.tables import part_hash
from mixtures.stream.arms.donors import KINDS
from pipeline.arms.base import Base
from pipeline.arms.filling import Filling
from pipeline.arms.slots import Places
from pipeline.arms.writing import Draft
from pipeline.stages.chosen_figures import known_scores
from pipeline.stages.gathering import ledger_segments
from pipeline.stages.stream_columns import InputPaths, input_paths, origins

Int64s = npt.NDArray[np.int64]


def fill_draft(base: Base, arm: str) -> Draft:
    """What stands in the slots of an arm."""
    made = FilledArm(base, arm)
    described = base.describe(arm, made.claim())
    return Draft(described, SLOTS_FILE, made.schema, made.table, made.runs())


class FilledArm:
    """An arm while it is made."""

    def __init__(self, base: Base, arm: str) -> None:
        self.base, self.arm = base, arm
        self.places = base.places.among(base.slots.arms[arm])
        self.filling = base.fillings[arm]
        self.schema = slots_schema(self.filling.fill)
        self.pieces = _pieces(self.filling, self.places)
        self.table = self._slots_table()

    def claim(self) -> ArmClaim:
        """What the manifest says of the slots."""
        keys = {name: stretch.hex() for name, stretch in self.filling.keys.items()}
        slots = SlotTable(self.table, self.filling.fill, keys)
        inner_documents, inner_begun = slots.inner_counts()
        made, rewrites = self.filling.rewrites, {}
        if made is not None:
            rewrites["rewrites"] = slots.rewrites(made.file, made.sha256, made.unused)
        return ArmClaim(
            study=self.base.study.study.name,
            arm=self.arm,
            base=self.base.claims.identity,
            rules=self.base.rules,
            fill=slots.fill,
            slots=part_hash(self.schema, self.table),
            sources=slots.sources(self.base.slots.names),
            donors={name: donor for name, donor in slots.donors().items() if donor.tokens},
            inner_documents=inner_documents,
            inner_begun=inner_begun,
            windows=windows_touched(self.places.first_token, self.places.num_tokens)[0],
            lengths=slots.lengths,
            scores=self.scores() if self.base.filters[self.arm].classifier else None,
            **rewrites,
        )

    def scores(self) -> ArmScoresClaim:
        """Of what gives way and of donors, by the arm's filter, which has a classifier: what may
        tell the two apart beside lengths.
        """
        table, slots = self.table, self.base.slots
        mine = slots.arms[self.arm]
        removed = {
            name: slots.digest[mine & (slots.source == source)]
            for source, name in enumerate(slots.names)
        }
        donors = {
            name: digest_columns(table["digest"][table["donor_source"] == name])
            for name in np.unique(table["donor_source"].astype(str)).tolist()
            if name  # rewrites, which no store knows, have none
        }
        return ArmScoresClaim(removed=self._scored(removed), donors=self._scored(donors))

    def _scored(self, wanted: Mapping[str, npt.NDArray[np.uint64]]) -> ScoredClaim:
        """wanted: digests by source, uint64 [num_docs, 2]."""
        number, choices = self.base.study.number(self.arm), self.base.judged.choices
        distinct = {name: np.unique(digest, axis=0) for name, digest in wanted.items()}
        scores = [
            known_scores(choices[name].eligible, number, digest)
            for name, digest in distinct.items()
            if len(digest)
        ]
        found = np.concatenate([np.empty(0, np.int64), *scores])
        return ScoredClaim.of(sum(map(len, distinct.values())), found[found >= 0])

    def runs(self) -> Int64s:
        """As `RUNS_FILE` has them."""
        pieces, donors = self.pieces, self.filling.donors
        donor = self.filling.donor[pieces.piece]
        begin = self.places.first_token[pieces.place] + pieces.offset
        cut = pieces.num_tokens < donors.num_tokens[donor]
        origin = donors.token_file[donor], donors.offset[donor]
        return np.stack([begin, begin + pieces.num_tokens, *origin, cut.astype(np.int64)])

    def _slots_table(self) -> dict[str, npt.NDArray[Any]]:
        """The columns of slots.parquet, [num_rows] each."""
        filling, slots, pieces = self.filling, self.base.slots, self.pieces
        names, slot = np.array([*slots.names, ""], object), self.places.slot[pieces.place]
        donor = filling.donor[pieces.piece]
        found = filling.donors
        paths = InputPaths(input_paths)
        rewrite = filling.donor_source[donor] < 0
        own = donor[~rewrite]
        file, row = np.full(len(donor), "", object), found.ledger_row[donor].astype(np.uint64)
        segments = ledger_segments(self.base.judged.plan.sources)
        files, row[~rewrite] = origins(segments, found.segment[own], found.ledger_row[own], paths)
        file[~rewrite] = np.array(paths.names, object)[files]
        if filling.rewrites:
            file[rewrite] = filling.rewrites.file
        columns: dict[str, npt.NDArray[Any]] = {
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
            "file": file,
            "row": row,
            "repeat": filling.repeat[pieces.piece],
            "rewrite": rewrite,
        }
        return {name: columns[name] for name in self.schema.names}


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
