"""Placebos of a mix: whom they imitate, and which documents they remove instead
(`mixtures.stream.placebo` has the rule).

The mix that is imitated is selected first, as if each placebo were its filter: that is the select
stage of that mix, and a store that has built it has it already. Of what its quotas take and its
filters remove, lengths are counted and matched; which documents these are follows, partition by
partition, from a length and a rank (`pipeline.judges.verdicts.Partners`), so that partitions and
workers have no part in it. In memory are a count of each length, and the documents that are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mixtures.errors import SupplyError
from mixtures.mix.judged.filters import FilterClaim, ImitatedClaim, PlaceboClaim
from mixtures.recipe.filter_use import FilterUse
from mixtures.stream.placebo import Candidates, add_lengths, by_class, matched
from mixtures.words import plural
from mixtures.yaml.fields import plain_decimal
from pipeline.judges.verdicts import Partners, rank
from pipeline.stages.eligible import Choice, last_key

_SPARE = 8
"""Standard deviations more than the expected number of small ranks that are looked at."""


@dataclass(frozen=True)
class Found:
    """What the placebos of a mix remove, and what they imitate."""

    partners: tuple[Partners, ...]
    claims: Mapping[int, PlaceboClaim]
    """By number of the filter."""


@dataclass(frozen=True)
class Matching:
    """What a placebo may do. partners: sources that give documents to others. tolerance: a decimal,
    as text.
    """

    partners: tuple[str, ...]
    tolerance: str


def matchings(filters: Sequence[FilterUse]) -> dict[int, Matching]:
    """Of the placebos of a recipe, by number of the filter."""
    return {
        number: Matching(item.request.partners, plain_decimal(item.tolerance))
        for number, item in enumerate(filters)
        if item.placebo
    }


def find_partners(
    choices: Mapping[str, Choice], placebos: Mapping[int, Matching], *, spared: bool
) -> Found:
    """Find what the placebos of a recipe remove.

    Args:
        choices: what the imitated mix takes of each source. placebos: by number of the filter.
            spared: whether that mix noted which documents only a dose spares.
    """
    sources = {name: _Source(choice, spared=spared) for name, choice in choices.items()}
    claims = {number: _find(sources, number, item) for number, item in placebos.items()}
    partners = [part for source in sources.values() for part in source.partners]
    return Found(tuple(sorted(partners, key=lambda part: part.filter)), claims)


def _find(sources: Mapping[str, _Source], number: int, item: Matching) -> PlaceboClaim:
    imitated = {name: source.imitated(number) for name, source in sources.items()}
    candidates = {name: Candidates(source.candidates()) for name, source in sources.items()}
    unmatched, elsewhere = matched(imitated, candidates, item.partners)
    lengths: dict[int, int] = {}
    for name, source in sources.items():
        source.take(number, candidates[name].taken)
        for length, count in imitated[name].items():
            lengths[length] = lengths.get(length, 0) + count
    return PlaceboClaim(
        tolerance=item.tolerance,
        partners=list(item.partners),
        lengths={str(least): count for least, count in by_class(lengths).items()},
        sources={
            name: ImitatedClaim(
                quota_tokens=sources[name].choice.quota,
                documents=sum(counts.values()),
                tokens=_tokens(counts),
                unmatched_documents=sum(unmatched[name].values()),
                unmatched_tokens=_tokens(unmatched[name]),
                elsewhere=elsewhere[name],
            )
            for name, counts in imitated.items()
        },
    )


def _tokens(documents: Mapping[int, int]) -> int:
    return sum(length * count for length, count in documents.items())


class _Source:
    """One source of the imitated mix. partners: of the placebos so far."""

    def __init__(self, choice: Choice, *, spared: bool) -> None:
        self.choice = choice
        self.partners: list[Partners] = []
        self._spared = spared

    def imitated(self, number: int) -> dict[int, int]:
        """Documents that a filter removes within the quota, by length."""
        eligible = self.choice.eligible
        bit = np.uint32(1 << len(eligible.reasons) - eligible.filters + number)
        counts: dict[int, int] = {}
        for column in self.choice.removed_columns():
            add_lengths(counts, column("num_tokens")[(column("verdicts") & bit) != 0])
        return counts

    def candidates(self) -> dict[int, int]:
        """Documents that could be partners, by length: of the stretch, kept, not spared, and taken
        by no placebo so far.
        """
        counts: dict[int, int] = {}
        for num_tokens, _ in self._columns():
            add_lengths(counts, num_tokens)
        return counts

    def take(self, number: int, documents: Mapping[int, int]) -> None:
        """Take so many candidates of each length for a placebo: those with the smallest ranks."""
        lengths = np.array(sorted(documents), np.int64)
        wanted = np.array([documents[length] for length in lengths.tolist()], np.int64)
        self.partners.append(
            Partners(
                source=self.choice.eligible.name,
                filter=number,
                last_key=last_key(self.choice),
                lengths=tuple(lengths.tolist()),
                ranks=tuple(self._ranks(lengths, wanted).tolist()) if len(lengths) else (),
            )
        )

    def _ranks(
        self, lengths: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        """Of each length, the rank of the last of the `wanted` smallest: all [num_lengths]. Only
        ranks that can be among these are kept in memory.
        """
        counts = self.candidates()
        there = np.array([counts[length] for length in lengths.tolist()], np.int64)
        share = (wanted + _SPARE * np.sqrt(wanted) + _SPARE**2) / there
        ranks = self._smallest(lengths, wanted, share)
        if ranks is None:
            ranks = self._smallest(lengths, wanted, np.ones(len(lengths)))
        assert ranks is not None, "fewer candidates than were counted"
        return ranks

    def _smallest(
        self,
        lengths: npt.NDArray[np.int64],
        wanted: npt.NDArray[np.int64],
        share: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.uint64] | None:
        """As `_ranks`, looking at that share of the ranks of each length; None if one has too few
        there. All [num_lengths].
        """
        most = np.minimum(share * 2.0**64, 2.0**64 - 2048).astype(np.uint64)
        most[share >= 1] = np.uint64(2**64 - 1)
        found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]] = []
        for num_tokens, ranks in self._columns():
            at = np.minimum(np.searchsorted(lengths, num_tokens), len(lengths) - 1)
            near = (lengths[at] == num_tokens) & (ranks <= most[at])
            found.append((at[near], ranks[near]))
        places = np.concatenate([at for at, _ in found])
        ranks = np.concatenate([ranks for _, ranks in found])
        if (np.bincount(places, minlength=len(lengths)) < wanted).any():
            return None
        order = np.lexsort((ranks, places))
        first = np.searchsorted(places[order], np.arange(len(lengths)))
        smallest: npt.NDArray[np.uint64] = ranks[order][first + wanted - 1]
        return smallest

    def _columns(self) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]]:
        """Lengths and ranks of the candidates, [num_docs] of a partition each."""
        for column in self.choice.taken_columns():
            num_tokens = column("num_tokens").astype(np.int64)
            ranks = rank(column("digest"))
            free = np.ones(len(ranks), np.bool_)
            if self._spared:
                free &= column("spared") == 0
            for part in self.partners:
                free &= ~part.of_length(num_tokens, ranks)
            yield num_tokens[free], ranks[free]


def refuse_unlike(where: str, filters: Sequence[FilterClaim]) -> None:
    """Refuse a mix whose placebo is none.

    Raises:
        SupplyError: documents or tokens that it removes are further from the filter's than its
            tolerance.
    """
    for item in filters:
        if fault := unlike(item):
            raise SupplyError(f"{where}: {fault}")


def unlike(item: FilterClaim) -> str:
    """By how much a placebo is none, for people; empty if it is one, or no placebo."""
    if item.matched is None:
        return ""
    off = item.matched.off(item.removed)
    if max(off.values()) <= Fraction(item.matched.tolerance):
        return ""
    said = item.matched
    figures = [
        f"{sum(getattr(one, name) for one in item.removed.values()):,} {name} of"
        f" {sum(getattr(one, name) for one in said.sources.values()):,}"
        for name in off
    ]
    unmatched = [
        f"{name} ({plural(one.unmatched_documents, 'document')} of {one.unmatched_tokens:,} tokens)"
        for name, one in said.sources.items()
        if one.unmatched_documents
    ]
    removes = (
        f"{item.label} removes {' and '.join(figures)}, more than the tolerance of"
        f" {said.tolerance} off"
    )
    if not unmatched:
        return f"{removes}; raise its tolerance, or take a larger mix"
    return (
        f"{removes}; of like length it found nothing for {', '.join(unmatched)}; name sources that"
        " give what is missing (partners: [...]), or raise its tolerance"
    )
