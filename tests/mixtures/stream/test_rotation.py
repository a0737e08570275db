"""Copies begin where none stands beside its original: by exact fractions, whatever is copied."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.stream.order import SourceOrder, deviation_bound, place, positions
from mixtures.stream.rotation import reach, rotation
from mixtures.stream.selection import Copies, Lengths, PartitionTable, Run, Selection, select


class Source(NamedTuple):
    """The documents of a source by key partition, each (tokens, whether it is copied)."""

    partitions: list[list[tuple[int, bool]]]
    quota: int
    shrink: bool = False


class Woven(NamedTuple):
    """Both strands of a source; of each document, by its index, (epoch, number in the source)."""

    orders: list[SourceOrder]
    names: list[list[tuple[int, int]]]


def starts(lengths: list[int]) -> np.ndarray:
    return np.array([0, *accumulate(lengths)][:-1], np.uint64)


def lengths_of(part: list[tuple[int, bool]], copied: bool, fills: list[int]) -> Lengths:
    chosen = [index for index, (_, twice) in enumerate(part) if twice or not copied]
    mine = [part[index][0] for index in chosen]
    places = starts(mine) if copied else starts(fills)
    return Lengths(starts(mine), np.array(mine, np.uint32), places)


def table(part: list[tuple[int, bool]], fills: list[int]) -> PartitionTable:
    kept, twice = [tokens for tokens, _ in part], [tokens for tokens, copied in part if copied]
    copies = PartitionTable(len(twice), sum(twice), max(twice, default=0), sum(twice))
    return PartitionTable(len(kept), sum(fills), max(kept, default=0), sum(kept), copies)


def woven(source: Source) -> Woven:
    fills = [
        [tokens * (1 + (copied and not source.shrink)) for tokens, copied in part]
        for part in source.partitions
    ]
    mine = [lengths_of(*one) for one in zip(source.partitions, [False] * 99, fills, strict=False)]
    theirs = [lengths_of(*one) for one in zip(source.partitions, [True] * 99, fills, strict=False)]
    numbers = [[at for at, (_, copied) in enumerate(part) if copied] for part in source.partitions]

    def copies(partition: int) -> Copies:
        return Copies(np.array(numbers[partition], np.uint32), theirs[partition])

    (kept, copied), _ = select(
        "s",
        source.quota,
        [table(*one) for one in zip(source.partitions, fills, strict=True)],
        mine.__getitem__,
        copies,
        shrink=source.shrink,
    )
    orders = [SourceOrder(kept, mine.__getitem__), SourceOrder(copied, theirs.__getitem__)]
    first = rotation(orders[0], orders[1], lambda partition: copies(partition).of)
    turned = copied.rotated(first, theirs.__getitem__)
    before = [0, *accumulate(map(len, source.partitions))]

    def names(selection: Selection, rows: list[list[int]]) -> list[tuple[int, int]]:
        def of(run: Run) -> list[tuple[int, int]]:
            chosen = rows[run.partition][run.first_row : run.first_row + run.documents]
            return [(run.epoch, before[run.partition] + row) for row in chosen]

        return [name for run in selection.runs for name in of(run)]

    whole = [list(range(len(part))) for part in source.partitions]
    return Woven(
        [orders[0], SourceOrder(turned, theirs.__getitem__)],
        [names(kept, whole), names(turned, numbers)],
    )


@st.composite
def sources(draw) -> Source:
    """Sources of up to three epochs, most of few documents, some of which are all copied, or those
    of one place.
    """
    tokens = draw(st.sampled_from([st.just(1), st.just(4), st.integers(1, 9), st.integers(1, 99)]))
    copied = draw(
        st.sampled_from([st.just(True), st.booleans(), st.sampled_from([True, *[False] * 5])])
    )
    part = st.lists(st.tuples(tokens, copied), max_size=draw(st.sampled_from([2, 6, 20])))
    partitions = draw(st.lists(part, min_size=1, max_size=3))
    shrink = draw(st.booleans())
    total = sum(
        tokens * (1 + (twice and not shrink)) for part in partitions for tokens, twice in part
    )
    quota = draw(st.one_of(st.just(total), st.just(2 * total), st.integers(0, 3 * total)))
    return Source(partitions, quota if total else 0, shrink)


def middles(order: SourceOrder) -> list[Fraction]:
    places, num_tokens = order.columns(0, order.selection.documents)
    return [
        Fraction(2 * start + tokens, 2 * order.selection.quota)
        for start, tokens in zip(places.tolist(), num_tokens.tolist(), strict=True)
    ]


def beside_by_hand(found: Woven, by: int) -> int:
    """Pairs of a copy and an original of its text with no other original between, if the strand
    were rotated by `by` more.
    """
    originals = middles(found.orders[0])
    selection = found.orders[1].selection
    _, tokens = found.orders[1].columns(0, selection.documents)
    again = np.roll(tokens, -by).tolist()
    names = found.names[1][by:] + found.names[1][:by]
    count = 0
    for start, length, (_, name) in zip(accumulate([0, *again]), again, names, strict=False):
        middle = Fraction(2 * start + length, 2 * selection.tokens)
        for at, (_, other) in enumerate(found.names[0]):
            low = originals[at - 1] if at else Fraction(0)
            high = originals[at + 1] if at + 1 < len(originals) else Fraction(2)
            count += other == name and low <= middle < high
    return count


@given(sources())
def test_the_copies_begin_where_fewest_are_beside_and_half_an_epoch_on(source):
    found = woven(source)
    names = found.names[1]
    count = len(names)
    if not count:
        return
    chosen = found.orders[1].selection.rotation
    beside = {(chosen + by) % count: beside_by_hand(found, by) for by in range(count)}
    least = min(beside.values())
    whole = sum(epoch == 0 for epoch, _ in names)
    part = count % whole
    aim = (part if 2 * part >= whole else whole + part) // 2
    best = [first for first in range(count) if beside[first] == least]
    assert chosen == min(best, key=lambda first: (abs(first - aim), first))


@given(sources(), st.lists(st.integers(1, 30), max_size=6))
def test_every_document_and_copy_stands_once_and_no_copy_beside_where_none_need_be(source, others):
    found = woven(source)
    if not source.quota:
        return
    more = woven(Source([[(tokens, False) for tokens in others]], sum(others))).orders[:1]
    orders = [*found.orders, *(more if others else [])]
    placed = place(orders, 0, sum(order.selection.tokens for order in orders))
    stream = list(zip(placed.source.tolist(), placed.document.tolist(), strict=True))
    assert sorted(stream) == [
        (number, document)
        for number, order in enumerate(orders)
        for document in range(order.selection.documents)
    ]
    for copied in found.names[1]:
        assert copied in found.names[0]
    assert len(set(found.names[1])) == len(found.names[1])
    beside = 0
    for (one, here), (two, there) in pairwise(stream):
        if {one, two} == {0, 1}:
            beside += found.names[one][here][1] == found.names[two][there][1]
    assert beside <= beside_by_hand(found, 0)


@given(st.integers(1, 2**50), st.data())
def test_a_place_is_reached_with_the_least_tokens_before_it_at_any_scale(total, data):
    tokens = np.array([data.draw(st.integers(1, min(total, 2**20)))], np.int64)
    near = data.draw(st.integers(0, total - int(tokens[0])))
    where = positions(np.array([near], np.int64), tokens, total)
    where = np.nextafter(where, data.draw(st.sampled_from([0.0, 2.0]))) if near % 2 else where
    found = reach(where, tokens, total)
    assert 0 <= found[0] <= total
    assert found[0] == total or positions(found, tokens, total) >= where
    assert found[0] == 0 or positions(found - 1, tokens, total) < where


@given(sources())
def test_any_part_of_a_rotated_stream_is_placed_alone_and_within_the_bound(source):
    orders = [order for order in woven(source).orders if order.selection.documents]
    total = sum(order.selection.tokens for order in orders)
    if not total:
        return
    whole = place(orders, 0, total)
    step = max(total // 9, 1)
    for low in range(0, total, step):
        part = place(orders, low, min(low + step, total))
        same = slice(part.first_position, part.first_position + len(part.source))
        assert part.source.tolist() == whole.source[same].tolist()
        assert part.document.tolist() == whole.document[same].tolist()
        assert part.first_token.tolist() == whole.first_token[same].tolist()
    quotas = [order.selection.tokens for order in orders]
    bounds = deviation_bound(quotas, [order.selection.longest for order in orders])
    for number, (quota, bound) in enumerate(zip(quotas, bounds, strict=True)):
        placed = np.cumsum(np.where(whole.source == number, whole.num_tokens, 0))
        ends = whole.first_token + whole.num_tokens
        assert 2 * int(np.abs(placed * total - ends * quota).max()) <= bound


@given(sources(), st.data())
def test_where_partitions_end_changes_no_rotation(source, data):
    documents = [one for part in source.partitions for one in part]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(documents)), max_size=4)))
    parts = [documents[low:high] for low, high in zip([0, *cuts], [*cuts, None], strict=True)]
    assert woven(source._replace(partitions=parts)).names == woven(source).names


@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize("epochs", [1, 1.02, 1.3, 1.5, 1.7, 2, 3])
@pytest.mark.parametrize("every", [1, 3, 20])
def test_a_copy_is_a_quarter_of_its_source_away_from_its_original(every, epochs, shrink):
    part = [(5 + at % 3, at % every == 0) for at in range(600)]
    total = sum(tokens * (1 + (copied and not shrink)) for tokens, copied in part)
    found = woven(Source([part], int(total * epochs), shrink))
    originals, copies = (middles(order) for order in found.orders)
    nearest = min(
        abs(middle - other)
        for middle, (_, name) in zip(copies, found.names[1], strict=True)
        for other, (_, original) in zip(originals, found.names[0], strict=True)
        if name == original
    )
    assert nearest * Fraction(epochs) > Fraction(1, 5)


@pytest.mark.parametrize("count", range(3, 40))
def test_of_three_documents_and_more_none_is_beside(count):
    assert beside_by_hand(woven(Source([[(4, True)] * count], 8 * count)), 0) == 0


@pytest.mark.parametrize(
    ("part", "beside"),
    [
        ([(4, True)], 1),
        ([(4, True), (4, True)], 1),
        ([(4, False), (4, True), (4, False)], 1),  # the middle of the stream is its place
        ([(4, True), (4, False), (4, False)], 0),
    ],
)
def test_what_stands_beside_in_the_smallest_sources_is_counted(part, beside):
    total = sum(tokens * (1 + copied) for tokens, copied in part)
    assert beside_by_hand(woven(Source([part], total)), 0) == beside
