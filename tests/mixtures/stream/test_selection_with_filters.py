"""With removed documents and copies, a selection is that of going document by document, whatever
the partitions are.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from mixtures.stream.selection import Copies, End, Lengths, PartitionTable, Selection, select


class Judged(NamedTuple):
    """A document: its length, and what filters said of it."""

    tokens: int
    fate: str  # kept, removed or approved

    @property
    def kept(self) -> bool:
        return self.fate != "removed"


class Taken(NamedTuple):
    """A document of a strand. at: its place in the supply; place: tokens of the quota before it;
    tokens: after the cut.
    """

    epoch: int
    at: int
    place: int
    tokens: int


Partitions = list[list[Judged]]
DOCUMENTS = st.builds(
    Judged, st.integers(1, 9), st.sampled_from(["kept", "kept", "removed", "approved"])
)
PARTITIONS = st.lists(st.lists(DOCUMENTS, max_size=5), min_size=1, max_size=4)


def fills(document: Judged, *, shrink: bool, copies: bool) -> int:
    """Tokens of the quota that a document takes."""
    if shrink:
        return document.tokens
    if document.fate == "approved" and copies:
        return 2 * document.tokens
    return document.tokens if document.kept else 0


def by_hand(
    quota: int, supply: list[Judged], *, shrink: bool, copies: bool
) -> tuple[list[Taken], list[Taken]]:
    """The documents and the copies of a mix, one after another."""
    documents: list[Taken] = []
    copied: list[Taken] = []
    filled = epoch = 0
    while filled < quota:
        for index, document in enumerate(supply):
            rest = quota - filled
            if rest and fills(document, shrink=shrink, copies=copies):
                taken = Taken(epoch, index, filled, min(document.tokens, rest))
                filled += taken.tokens
                if document.kept:
                    documents.append(taken)
                if document.fate == "approved" and copies:
                    more = taken.tokens if shrink else min(document.tokens, rest - taken.tokens)
                    filled += 0 if shrink else more
                    copied += [taken._replace(tokens=more)] if more else []
        epoch += 1
    return documents, copied


def table(documents: list[Judged], *, shrink: bool, copies: bool) -> PartitionTable:
    kept = [document.tokens for document in documents if document.kept]
    twice = [document.tokens for document in documents if document.fate == "approved"]
    mine = (
        PartitionTable(len(twice), sum(twice), max(twice, default=0), sum(twice))
        if copies
        else None
    )
    tokens = sum(fills(document, shrink=shrink, copies=copies) for document in documents)
    return PartitionTable(len(kept), tokens, max(kept, default=0), sum(kept), mine)


def starts(lengths: list[int]) -> np.ndarray:
    return np.array([0, *accumulate(lengths)][:-1], np.uint64)


def chosen(
    quota: int, partitions: Partitions, *, shrink: bool, copies: bool
) -> tuple[list[Selection], End | None]:
    def lengths(number: int) -> Lengths:
        documents = partitions[number]
        places = starts([fills(document, shrink=shrink, copies=copies) for document in documents])
        kept = [document.tokens for document in documents if document.kept]
        return Lengths(
            starts(kept),
            np.array(kept, np.uint32),
            places[[document.kept for document in documents]],
        )

    def copied(number: int) -> Copies:
        kept = [document for document in partitions[number] if document.kept]
        of = [index for index, document in enumerate(kept) if document.fate == "approved"]
        mine = [kept[index].tokens for index in of]
        return Copies(
            np.array(of, np.uint32), Lengths(starts(mine), np.array(mine, np.uint32), starts(mine))
        )

    tables = [table(documents, shrink=shrink, copies=copies) for documents in partitions]
    return select("s", quota, tables, lengths, copied if copies else None, shrink=shrink)


def listed(selection: Selection, partitions: Partitions) -> list[tuple[int, int, int]]:
    """(epoch, index in the supply, tokens) of the documents of a selection."""
    found = []
    first = [0, *accumulate(map(len, partitions))]
    for run in selection.runs:
        wanted = [
            index
            for index, document in enumerate(partitions[run.partition])
            if selected(document, selection.copy)
        ]
        found += [
            (run.epoch, first[run.partition] + index, partitions[run.partition][index].tokens)
            for index in wanted[: run.documents]
        ]
    if selection.cut:
        assert found[selection.cut.document][2] == selection.cut.num_tokens
        found[selection.cut.document] = (
            *found[selection.cut.document][:2],
            selection.cut.kept_tokens,
        )
    return found


def selected(document: Judged, copy: int) -> bool:
    return document.fate == "approved" if copy else document.kept


@st.composite
def quotas(draw):
    """Partitions, a quota of up to three epochs, mostly next to some document's end, and whether it
    shrinks and copies.
    """
    partitions, shrink, copies = draw(PARTITIONS), draw(st.booleans()), draw(st.booleans())
    parts = [
        fills(document, shrink=shrink, copies=copies)
        for documents in partitions
        for document in documents
    ]
    total = sum(parts)
    if total == 0:
        return partitions, 0, shrink, copies
    near = st.builds(
        lambda epoch, end, off: max(epoch * total + end + off, 0),
        st.integers(0, 2),
        st.sampled_from([0, *accumulate(parts)]),
        st.integers(-1, 1),
    )
    return partitions, draw(st.one_of(near, st.integers(0, 3 * total))), shrink, copies


TWICE, ONCE = Judged(5, "approved"), Judged(4, "kept")


@given(quotas())
@example(([[TWICE]], 3, False, True))  # ends in a document, before its copy,
@example(([[TWICE]], 5, False, True))  # between both,
@example(([[TWICE]], 7, False, True))  # in the copy,
@example(([[Judged(3, "approved"), TWICE, ONCE]], 18, False, True))  # in what is not copied,
@example(([[TWICE, ONCE]], 3, True, True))  # in both at once
def test_documents_and_copies_are_those_of_going_document_by_document(drawn):
    partitions, quota, shrink, copies = drawn
    supply = [document for documents in partitions for document in documents]
    strands, _ = chosen(quota, partitions, shrink=shrink, copies=copies)
    assert [strand.copy for strand in strands] == ([0, 1] if copies else [0])
    for strand, expected in zip(
        strands, by_hand(quota, supply, shrink=shrink, copies=copies), strict=False
    ):
        assert listed(strand, partitions) == [(one.epoch, one.at, one.tokens) for one in expected]
        assert (strand.documents, strand.tokens) == (
            len(expected),
            sum(one.tokens for one in expected),
        )
        assert strand.longest == max((one.tokens for one in expected), default=0)
        assert strand.epochs == (expected[-1].epoch + 1 if expected else 0)
        assert (strand.cut is not None) == any(
            one.tokens < supply[one.at].tokens for one in expected
        )
    if not shrink:
        assert sum(strand.tokens for strand in strands) == quota


@given(quotas())
def test_only_the_document_that_ends_the_quota_or_its_copy_is_cut(drawn):
    partitions, quota, shrink, copies = drawn
    strands, _ = chosen(quota, partitions, shrink=shrink, copies=copies)
    cuts = [strand for strand in strands if strand.cut]
    assert len(cuts) <= (2 if shrink else 1)
    assert all(
        strand.cut is not None and strand.cut.document == strand.documents - 1 for strand in cuts
    )


@given(quotas())
def test_the_places_of_a_shrunk_selection_count_what_was_removed(drawn):
    partitions, quota, _, copies = drawn
    supply = [document for documents in partitions for document in documents]
    total = sum(document.tokens for document in supply)
    quota = min(quota, 3 * total)
    strands, _ = chosen(quota, partitions, shrink=True, copies=copies)
    documents, _ = by_hand(quota, supply, shrink=True, copies=copies)
    found = []
    for run in strands[0].runs:
        places = starts([document.tokens for document in partitions[run.partition]])
        kept = [document.kept for document in partitions[run.partition]]
        found += [run.first_place + place for place in places[kept][: run.documents].tolist()]
    assert strands[0].quota == quota
    assert found == [one.place for one in documents]


@given(quotas())
def test_the_end_is_where_the_last_token_of_the_quota_lies(drawn):
    partitions, quota, shrink, copies = drawn
    _, end = chosen(quota, partitions, shrink=shrink, copies=copies)
    parts = [
        sum(fills(document, shrink=shrink, copies=copies) for document in documents)
        for documents in partitions
    ]
    if quota == 0:
        assert end is None
        return
    last, epoch = (quota - 1) % sum(parts), (quota - 1) // sum(parts)
    before = [0, *accumulate(parts)]
    partition = next(
        number for number in range(len(parts)) if before[number] <= last < before[number + 1]
    )
    place = last + 1 - before[partition]
    assert end == End(epoch, partition, None if place == parts[partition] else place)


@given(quotas(), st.data())
def test_where_partitions_end_changes_nothing(drawn, data):
    partitions, quota, shrink, copies = drawn
    supply = [document for documents in partitions for document in documents]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(supply)), max_size=4)))
    other = [supply[low:high] for low, high in zip([0, *cuts], [*cuts, len(supply)], strict=True)]
    one, two = (
        chosen(quota, parts, shrink=shrink, copies=copies)[0] for parts in (partitions, other)
    )
    for here, there in zip(one, two, strict=True):
        assert listed(here, partitions) == listed(there, other)
        assert (here.quota, here.tokens, here.cut, here.longest) == (
            there.quota,
            there.tokens,
            there.cut,
            there.longest,
        )


@given(quotas(), st.data())
def test_a_shrunk_selection_is_the_unfiltered_one_without_the_removed_documents(drawn, data):
    partitions, _, _, _ = drawn
    unfiltered = [
        [document._replace(fate="kept") for document in documents] for documents in partitions
    ]
    total = sum(document.tokens for documents in partitions for document in documents)
    quota = data.draw(st.integers(0, 3 * total))
    whole, _ = chosen(quota, unfiltered, shrink=False, copies=False)
    shrunk, _ = chosen(quota, partitions, shrink=True, copies=False)
    supply = [document for documents in partitions for document in documents]
    assert listed(shrunk[0], partitions) == [
        one for one in listed(whole[0], unfiltered) if supply[one[1]].kept
    ]


@given(quotas(), st.data())
def test_a_smaller_quota_is_a_prefix_of_each_strand_but_for_what_is_cut(drawn, data):
    partitions, quota, shrink, copies = drawn
    small, _ = chosen(data.draw(st.integers(0, quota)), partitions, shrink=shrink, copies=copies)
    large, _ = chosen(quota, partitions, shrink=shrink, copies=copies)
    for one, two in zip(small, large, strict=True):
        few, many = listed(one, partitions), listed(two, partitions)
        assert [found[:2] for found in few] == [found[:2] for found in many][: len(few)]
        assert few[:-1] == many[: max(len(few) - 1, 0)]
