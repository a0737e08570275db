"""A selection is the shortest run of documents in key order with exactly the quota's tokens,
whatever the partitions are.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.stream.selection import Lengths, PartitionTable, Selection, select

PARTITIONS = st.lists(st.lists(st.integers(1, 12), max_size=6), min_size=1, max_size=5)


def chosen(quota: int, partitions: list[list[int]]) -> Selection:
    """Select from documents that are given by their lengths, partition by partition."""
    tables = [
        PartitionTable(len(lengths), sum(lengths), max(lengths, default=0), sum(lengths))
        for lengths in partitions
    ]
    strands, _ = select("s", quota, tables, lambda number: columns(partitions[number]))
    return strands[0]


def columns(lengths: list[int]) -> Lengths:
    starts = np.array([0, *accumulate(lengths)][:-1], np.uint64)
    return Lengths(starts, np.array(lengths, np.uint32), starts)


def by_hand(quota: int, partitions: list[list[int]]) -> list[tuple[int, int, int, int]]:
    """(epoch, partition, row, tokens kept) of every document taken, one by one."""
    taken: list[tuple[int, int, int, int]] = []
    epoch = 0
    while quota:
        for partition, lengths in enumerate(partitions):
            for row, tokens in enumerate(lengths):
                if quota:
                    taken.append((epoch, partition, row, min(tokens, quota)))
                    quota -= taken[-1][-1]
        epoch += 1
    return taken


def listed(selection: Selection, partitions: list[list[int]]) -> list[tuple[int, int, int, int]]:
    """A selection written out like `by_hand`."""
    documents = [
        (run.epoch, run.partition, row, partitions[run.partition][row])
        for run in selection.runs
        for row in range(run.documents)
    ]
    if selection.cut:
        documents[selection.cut.document] = (
            *documents[selection.cut.document][:3],
            selection.cut.kept_tokens,
        )
    return documents


@st.composite
def quotas(draw):
    """Partitions and a quota of up to three epochs, often at or next to the end of a document, a
    partition or an epoch.
    """
    partitions = draw(PARTITIONS)
    total = sum(map(sum, partitions))
    if total == 0:
        return partitions, 0
    ends = [0, *accumulate(tokens for lengths in partitions for tokens in lengths)]
    near = st.builds(
        lambda epoch, end, off: max(epoch * total + end + off, 0),
        st.integers(0, 2),
        st.sampled_from(ends),
        st.integers(-1, 1),
    )
    return partitions, draw(st.one_of(near, st.integers(0, 3 * total)))


@given(quotas())
def test_selection_is_that_of_going_document_by_document(drawn):
    partitions, quota = drawn
    selection, expected = chosen(quota, partitions), by_hand(quota, partitions)
    assert listed(selection, partitions) == expected
    assert (selection.quota, selection.documents) == (quota, len(expected))
    assert sum(run.tokens for run in selection.runs) == quota
    assert selection.longest == max((document[3] for document in expected), default=0)
    assert selection.epochs == (expected[-1][0] + 1 if expected else 0)
    full = [(*document[:3], partitions[document[1]][document[2]]) for document in expected]
    if expected != full:
        assert selection.cut is not None
        assert (selection.cut.document, selection.cut.num_tokens) == (
            len(expected) - 1,
            full[-1][3],
        )
    else:
        assert selection.cut is None


@given(quotas())
def test_runs_leave_no_gap_and_know_their_documents(drawn):
    partitions, quota = drawn
    selection = chosen(quota, partitions)
    documents = tokens = 0
    for run in selection.runs:
        assert (run.first_document, run.first_token) == (documents, tokens)
        assert run.documents > 0
        documents, tokens = documents + run.documents, tokens + run.tokens
    for document in range(selection.documents):
        run = selection.run_of(document)
        assert run.first_document <= document < run.first_document + run.documents
        assert list(selection.runs_within(document, document + 1)) == [run]
    if selection.documents:
        assert tuple(selection.runs_within(0, selection.documents)) == selection.runs


@given(quotas(), st.data())
def test_a_smaller_quota_is_a_prefix_of_a_larger_but_for_the_cut_document(drawn, data):
    partitions, quota = drawn
    small = listed(chosen(data.draw(st.integers(0, quota)), partitions), partitions)
    large = listed(chosen(quota, partitions), partitions)
    assert [document[:3] for document in small] == [document[:3] for document in large][
        : len(small)
    ]
    assert small[:-1] == large[: max(len(small) - 1, 0)]
    assert not small or small[-1][3] <= large[len(small) - 1][3]


@given(quotas(), st.data())
def test_selection_does_not_depend_on_where_partitions_end_nor_on_documents_beyond_the_quota(
    drawn, data
):
    partitions, quota = drawn
    whole = [tokens for lengths in partitions for tokens in lengths]
    repeated = quota > sum(
        whole
    )  # then an epoch ends at the supply's end, so what lies beyond counts
    more = whole if repeated else whole + data.draw(st.lists(st.integers(1, 12), max_size=4))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(more)), max_size=4)))
    other = [more[low:high] for low, high in zip([0, *cuts], [*cuts, len(more)], strict=True)]
    one, two = chosen(quota, partitions), chosen(quota, other)
    assert [document[3] for document in listed(one, partitions)] == [
        document[3] for document in listed(two, other)
    ]
    assert (one.cut, one.longest, one.epochs, one.documents) == (
        two.cut,
        two.longest,
        two.epochs,
        two.documents,
    )


def test_a_cut_of_one_token_keeps_only_the_end_of_document():
    selection = chosen(6, [[5, 4]])
    assert selection.cut is not None
    assert (selection.cut.document, selection.cut.kept_tokens, selection.cut.num_tokens) == (
        1,
        1,
        4,
    )


def test_a_quota_from_nothing_is_refused_and_a_quota_of_nothing_is_empty():
    with pytest.raises(ValueError, match="no eligible token"):
        chosen(1, [[], []])
    assert chosen(0, [[]]).documents == chosen(0, [[3]]).documents == 0


def test_a_strand_that_is_turned_is_the_same_documents_from_another_one_on():
    partitions = [[3, 4], [5]]
    whole = chosen(12, partitions)

    def turned(by: int) -> list[tuple[int, ...]]:
        """(partition, row, documents before, tokens before, documents, tokens) of each run."""
        found = whole.rotated(by, lambda number: columns(partitions[number]))
        assert [run.first_place for run in found.runs] == [run.first_token for run in found.runs]
        assert (found.tokens, found.documents) == (12, 3)
        return [
            (
                *(run.partition, run.first_row, run.first_document, run.first_token),
                *(run.documents, run.tokens),
            )
            for run in found.runs
        ]

    assert turned(0) == [(0, 0, 0, 0, 2, 7), (1, 0, 2, 7, 1, 5)]
    assert turned(1) == [(0, 1, 0, 0, 1, 4), (1, 0, 1, 4, 1, 5), (0, 0, 2, 9, 1, 3)]
    assert turned(2) == [(1, 0, 0, 0, 1, 5), (0, 0, 1, 5, 2, 7)]
