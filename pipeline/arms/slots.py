"""The slots of a study: what its filters remove of the base, and where that stands there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.errors import AnnealmixError, ManifestError, RecipeError
from mixtures.keys import digest_columns
from mixtures.recipe.filter_use import in_dose
from mixtures.stream.arms.study import BASE, LoadedStudy
from pipeline.build.build import Judged
from pipeline.stages.eligible import Choice

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Slots:
    """The slots of all arms, by (source, order key); arrays [num_slots]."""

    names: list[str]
    """Of the sources."""
    source: Int64s
    """Index into `names`."""
    digest: npt.NDArray[np.uint64]
    """[num_slots, 2], of the removed document."""
    num_tokens: Int64s
    """Of the whole document."""
    arms: Mapping[str, Bools]
    """By arm, which slots are its own."""

    def __len__(self) -> int:
        return len(self.source)


def find_slots(study: LoadedStudy, judged: Judged) -> Slots:
    """What the filters of all arms remove of what the base takes."""
    names = list(study.base.recipe.sources)
    found = [
        (np.full(len(verdicts), number), digest, num_tokens, verdicts)
        for number, name in enumerate(names)
        for digest, num_tokens, verdicts in _removed(judged.choices[name])
    ]
    empty = (np.empty(0, np.int64), np.empty((0, 2), np.uint64), np.empty(0, np.int64))
    source, digest, num_tokens, verdicts = (
        np.concatenate([start, *(columns[at] for columns in found)])
        for at, start in enumerate((*empty, np.empty(0, np.uint32)))
    )
    masks = {}
    for arm, use in study.filters.items():
        mask = verdicts >> np.uint32(study.number(arm)) & np.uint32(1) != 0
        mask[mask] = in_dose(digest[mask], use.dose_bound)
        masks[arm] = mask
    any_arm = np.logical_or.reduce(list(masks.values()))
    return Slots(
        names,
        source[any_arm].astype(np.int64),
        digest[any_arm],
        num_tokens[any_arm].astype(np.int64),
        {arm: mask[any_arm] for arm, mask in masks.items()},
    )


def _removed(
    choice: Choice,
) -> Iterator[tuple[npt.NDArray[np.uint64], Int64s, npt.NDArray[np.uint32]]]:
    """Digest, tokens and verdicts (bit i for filter i) of the documents that filters remove of a
    source within its quota, [num_docs] of a partition each.
    """
    eligible = choice.eligible
    for column in choice.removed_columns():
        digest, num_tokens, verdicts = map(column, ("digest", "num_tokens", "verdicts"))
        # the bits below are other reasons than filters
        verdicts = verdicts >> np.uint32(len(eligible.reasons) - eligible.filters)
        judged = verdicts != 0
        yield digest[judged], num_tokens[judged].astype(np.int64), verdicts[judged]


@dataclass(frozen=True)
class Places:
    """Where slots stand in the base, in the order of the stream; arrays [num_places]."""

    slot: Int64s
    position: Int64s
    first_token: Int64s
    num_tokens: Int64s
    """Of the document as it stands there: the last of a quota may be cut."""

    def among(self, slots: Bools) -> Places:
        """Those of some slots, bool [num_slots]."""
        mine = slots[self.slot]
        return Places(*(getattr(self, name)[mine] for name in self.__dataclass_fields__))


def find_places(base: Path, slots: Slots) -> Places:
    """Find the removed documents in the base's table.

    Raises:
        ManifestError: the table is not what the base's manifest says.
        AnnealmixError: one is not there.
    """
    mix = MixDocuments(base)
    if mix.fault:
        raise ManifestError(f"{mix.fault}; delete {base} and build again")
    codes = np.array([mix.codes[name, 0] for name in slots.names], np.int64)
    of_code = np.full(len(mix.names) + 1, -1, np.int64)
    of_code[codes] = np.arange(len(codes))
    index = SlotIndex(slots)
    pieces = []
    for columns in mix.coded_parts("position", "first_token", "num_tokens", "digest"):
        digest = digest_columns(np.ascontiguousarray(columns["digest"]))
        slot = index.of(digest, of_code[columns["source"]])
        here = np.flatnonzero(slot >= 0)
        named = (columns[name][here] for name in ("position", "first_token", "num_tokens"))
        pieces.append([slot[here], *named])
    joined = map(np.concatenate, zip(*pieces, strict=True))
    places = Places(*(column.astype(np.int64) for column in joined))
    if missing := len(slots) - len(np.unique(places.slot)):
        raise AnnealmixError(
            f"{base}: {missing:,} of {len(slots):,} removed documents are not in it; this is a"
            " defect of annealmix, please report it"
        )
    return places


class SlotIndex:
    """Finds slots by source and digest."""

    def __init__(self, slots: Slots) -> None:
        self._order = np.lexsort((slots.digest[:, 1], slots.digest[:, 0]))
        self._digest, self._source = slots.digest[self._order], slots.source[self._order]
        high = self._digest[:, 0]
        self._ties = int(np.unique(high, return_counts=True)[1].max()) if len(high) else 0

    def of(self, digest: npt.NDArray[np.uint64], source: Int64s | None = None) -> Int64s:
        """The slot of each document, -1 where it is none: int64 [num_docs].

        digest: uint64 [num_docs, 2]; source: int64 [num_docs], as `Slots` counts them; None: of
        any.
        """
        found = np.full(len(digest), -1, np.int64)
        first = np.searchsorted(self._digest[:, 0], digest[:, 0])
        for step in range(self._ties):
            at = np.minimum(first + step, len(self._order) - 1)
            same = (self._digest[at] == digest).all(axis=1)
            if source is not None:
                same &= self._source[at] == source
            found[same] = self._order[at[same]]
        return found


def base_beside(arm: Path) -> MixDocuments:
    """The base of an arm, in the folder where a study has it.

    Raises:
        RecipeError: it is no arm, or its base is not there. ManifestError: the arm's manifest is
            damaged.
    """
    said = MixDocuments(arm).claims.study
    if said is None:
        raise RecipeError(f"{arm}: is no arm of a study, so nothing gave way in it; name an arm")
    folder = arm.resolve().parent / BASE
    with suppress(ManifestError):
        base = MixDocuments(folder)
        if base.claims.identity == said.base:
            return base
    raise RecipeError(
        f"{folder}: is not the base of {arm}, which has the documents that give way; put the base"
        " of the study there"
    )
