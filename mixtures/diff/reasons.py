"""Why documents of one mix are not in another, as far as the manifests of both tell: what is not
known is said so, not guessed.

Eligibility goes by a fixed order, and a quota takes documents in key order, so the key of a
document and the key at which a source's quota ended leave few reasons:

    its definition is not read                  source not in its recipe
    outside of the source's key range           out of key range
    in a key range that was excluded            excluded
    behind the last document that was taken     beyond quota, or whatever removes documents wherever
                                                they stand
    before it                                   what the manifest counts for the source:
                                                contaminated, a filter, a duplicate ...

Arms of one study differ in slots alone, so a document that one of them has fills a slot there, or
gave way to the filter of the other.

What removes documents wherever they stand (duplicates, near-duplicates, exclusion) is no reason
where both mixes read and relate the same documents, since the document is a survivor in one of
them. Where several reasons are left, all of them are named: `A or B`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import KEY, MixDocuments, by_digest
from mixtures.keys import order_key, order_keys
from mixtures.mix.claims import Claims, SourceClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.near_request import NEAR

NO_SOURCE, OUT_OF_RANGE = "source not in its recipe", "out of key range"
EXCLUDED, BEYOND = "excluded", "beyond quota"
NOT_READ = "not among the documents that it reads"
FILLS = "fills a slot"
"""Of an aligned arm: it stands in the place of a document that the arm's filter removed."""
UNKNOWN = "not known"


class WhyNot:
    """Reasons of documents that are in `mix` and not in `other`."""

    def __init__(self, mix: MixDocuments, other: MixDocuments) -> None:
        self.mix, self.other = mix, other
        self._same_relations = _relations(mix.claims) == _relations(other.claims)

    def reasons(
        self, source: npt.NDArray[np.integer], digest: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.object_]:
        """Object [num_docs]: the reason of each document.

        Args:
            source: codes of `mix`. digest: uint64 [num_docs, 2].
        """
        if self._aligned:
            return self._of_slots(digest)
        reasons = np.full(len(source), UNKNOWN, object)
        keys = order_keys(digest)
        for code in np.unique(source[source >= 0]).tolist():
            rows = np.flatnonzero(source == code)
            reasons[rows] = self._of_source(self.mix.claims.sources[code], keys[rows], digest[rows])
        return reasons

    @property
    def _aligned(self) -> bool:
        """Whether the two are of one base, in which one of them has other documents in slots."""
        one, two = self.mix.claims, self.other.claims
        return one.base == two.base and (one.arm or two.arm) is not None

    def _of_slots(self, digest: npt.NDArray[np.uint64]) -> npt.NDArray[np.object_]:
        """Reasons in two mixes of one base: object [num_docs]. digest: uint64 [num_docs, 2]."""
        removed = " or ".join(f"filter {item.label}" for item in self.other.claims.filters)
        reasons = np.full(len(digest), removed or UNKNOWN, object)
        if self.mix.claims.arm:
            slots = self.mix.slots  # a donor that the base has is there for other reasons, too
            fills = by_digest(slots.digests[~slots.of_base]).unique()
            rows = by_digest(digest).with_row_index("row").join(fills, on=KEY)["row"].to_numpy()
            reasons[rows] = FILLS
        return reasons

    def _of_source(
        self, source: SourceClaim, keys: npt.NDArray[np.uint64], digest: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.object_]:
        """Reasons of documents of one source: object [num_docs]. keys: uint64 [num_docs].
        digest: uint64 [num_docs, 2].
        """
        targets = [
            (code, item)
            for code, item in enumerate(self.other.claims.sources)
            if _same_use(item, source)
        ]
        reasons = np.full(len(keys), OUT_OF_RANGE if targets else NO_SOURCE, object)
        for code, target in targets:
            inside = target.key_range.mask(keys)
            behind = inside & self._behind(code, keys, digest)
            reasons[inside] = self._candidates(source, target, behind=False)
            reasons[behind] = self._candidates(source, target, behind=True)
        if self._excludes_alike(source):
            for item in self.other.claims.excluded:
                if item.definition == source.definition:
                    reasons[
                        item.key_range.mask(keys)
                        & (reasons != OUT_OF_RANGE)
                        & (reasons != NO_SOURCE)
                    ] = EXCLUDED
        return reasons

    def _behind(
        self, code: int, keys: npt.NDArray[np.uint64], digest: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        """Documents that stand after the last one that the other mix took.

        bool [num_docs]. keys: uint64 [num_docs]; digest: uint64 [num_docs, 2].
        """
        last = self.other.last.get(code)
        if last is None:
            return np.ones(len(keys), np.bool_)
        key = np.uint64(order_key(last))
        behind: npt.NDArray[np.bool_] = keys > key
        for row in np.flatnonzero(keys == key).tolist():
            behind[row] = digest[row].astype(">u8").tobytes() > last
        return behind

    def _candidates(self, source: SourceClaim, target: SourceClaim, *, behind: bool) -> str:
        """The reasons that are left, joined; `behind`: the document stands after the last one that
        was taken.
        """
        counts = self.other.claims.removed.get(target.name, {})
        counted = [reason for reason, count in counts.items() if count]
        candidates = [] if self._same_reading(source, target) else [NOT_READ]
        if not self._same_relations:
            # says that another row of the source has the document: of that row it is no reason
            own = f"duplicate of {target.name}"
            candidates += [
                reason
                for reason in counted
                if reason == EXCLUDED
                or (reason.startswith(("duplicate of ", NEAR)) and reason != own)
            ]
        judged = [
            reason for reason in counted if reason == CONTAMINATED or reason.startswith("filter ")
        ]
        if not behind:
            candidates += judged
        else:
            candidates += [BEYOND] if counts.get(BEYOND) else []
            # a quota that shrinks may end in removed documents, unless it ends in a document that
            # it cut; one that was not met ends nowhere
            open_end = self.other.claims.shrinks and target.cut is None
            candidates += judged if open_end or not counts.get(BEYOND) else []
        return " or ".join(candidates) or UNKNOWN

    def _reads_the_same(self, definition: str) -> bool:
        """Whether both mixes read the same files of a definition."""
        here, there = (mix.claims.inputs.get(definition) for mix in (self.mix, self.other))
        return bool(here == there)

    def _excludes_alike(self, source: SourceClaim) -> bool:
        """Whether what the other mix excludes of a source's definition are the documents that the
        source has.
        """
        request = _requests(self.mix.claims).get(source.name, {})
        asked = [
            item
            for item in self.other.claims.recipe.get("exclude", [])
            if item["definition"]["name"] == source.definition
        ]
        alike = all(
            (item["definition"], item.get("quality"))
            == (request.get("definition"), request.get("quality"))
            for item in asked
        )
        return alike and self._reads_the_same(source.definition) and not source.insert

    def _same_reading(self, source: SourceClaim, target: SourceClaim) -> bool:
        """Whether the documents of two sources are made of the same files in the same way."""
        asked = [
            _requests(mix.claims).get(name, {})
            for mix, name in ((self.mix, source.name), (self.other, target.name))
        ]
        one, two = ({key: item.get(key) for key in ("definition", "quality")} for item in asked)
        return one == two and self._reads_the_same(source.definition)


def _same_use(target: SourceClaim, source: SourceClaim) -> bool:
    return (target.definition, target.insert, target.copy_number) == (
        source.definition,
        source.insert,
        0,
    )


def _requests(claims: Claims) -> dict[str, Mapping[str, Any]]:
    """What the recipe of a manifest says of each source and insert."""
    recipe = claims.recipe
    items: Iterable[Mapping[str, Any]] = [*recipe.get("sources", []), *recipe.get("insert", [])]
    return {item["name"]: item for item in items}


def _relations(claims: Claims) -> Any:
    """All that decides which of equal or similar documents stays: sources in their order, what is
    excluded, near-duplicates, the files.
    """
    recipe = claims.recipe
    sources = [
        {key: item.get(key) for key in ("name", "definition", "quality", "keys")}
        for item in recipe.get("sources", [])
    ]
    read = {
        item["definition"]["name"]
        for item in [*recipe.get("sources", []), *recipe.get("exclude", [])]
    }
    inputs = {name: files for name, files in claims.inputs.items() if name in read}
    return [sources, recipe.get("exclude"), recipe.get("near"), inputs]
