"""The stream is the exact merge by midpoints, any part of it can be placed alone, and no prefix
strays beyond the proven bound.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixtures.stream.order import (
    Placed,
    SourceOrder,
    deviation,
    deviation_bound,
    place,
    positions,
)
from mixtures.stream.selection import Lengths, PartitionTable, select

Document = tuple[int, int, int]
"""(source, index in its sequence, tokens)"""

SOURCE = st.lists(
    st.lists(st.one_of(st.integers(1, 9), st.just(4), st.integers(1, 60)), max_size=5),
    min_size=1,
    max_size=3,
)


def order_of(partitions: list[list[int]], quota: int) -> SourceOrder:
    tables = [
        PartitionTable(len(lengths), sum(lengths), max(lengths, default=0), sum(lengths))
        for lengths in partitions
    ]
    starts = [np.array([0, *accumulate(part)][:-1], np.uint64) for part in partitions]
    columns = [
        Lengths(start, np.array(part, np.uint32), start)
        for start, part in zip(starts, partitions, strict=True)
    ]
    strands, _ = select("s", quota, tables, columns.__getitem__)
    return SourceOrder(strands[0], columns.__getitem__)


@st.composite
def streams(draw):
    """Orders of a few sources, some empty, some repeated, some cut."""
    orders = []
    for partitions in draw(st.lists(SOURCE, min_size=1, max_size=4)):
        total = sum(map(sum, partitions))
        quota = draw(st.one_of(st.just(total), st.integers(0, 2 * total))) if total else 0
        orders.append(order_of(partitions, quota))
    return (
        orders
        if any(order.selection.quota for order in orders)
        else [*orders, order_of([[3, 1]], 4)]
    )


def merged(orders: list[SourceOrder]) -> list[Document]:
    """All documents sorted by their exact midpoints, ties by source."""
    keyed = []
    for source, order in enumerate(orders):
        starts, num_tokens = order.columns(0, order.selection.documents)
        for index, (start, tokens) in enumerate(
            zip(starts.tolist(), num_tokens.tolist(), strict=True)
        ):
            keyed.append(
                (Fraction(2 * start + tokens, 2 * order.selection.quota), source, index, tokens)
            )
    return [(source, index, tokens) for _, source, index, tokens in sorted(keyed)]


def test_what_shrank_keeps_its_places_and_what_did_not_has_none():
    # three tokens of the quota lie between the two: of a document that was removed, or of a copy
    lengths = Lengths(
        np.array([0, 4], np.uint64), np.array([4, 2], np.uint32), np.array([0, 7], np.uint64)
    )
    for take, places in ((partial(select, shrink=True), [0, 7, 9, 16]), (select, [0, 4, 6, 10])):
        strands, _ = take("s", 18, [PartitionTable(2, 9, 4, 6)], lambda _: lengths)
        starts, num_tokens = SourceOrder(strands[0], lambda _: lengths).columns(0, 4)
        assert (starts.tolist(), num_tokens.tolist()) == (places, [4, 2, 4, 2])


def documents_of(placed: Placed) -> list[tuple[int, int, int]]:
    columns = (placed.source, placed.document, placed.num_tokens)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def quotas_of(orders: list[SourceOrder]) -> list[int]:
    return [order.selection.quota for order in orders]


@given(streams())
def test_the_whole_stream_is_the_exact_sort_of_midpoints(orders):
    placed = place(orders, 0, sum(quotas_of(orders)))
    assert documents_of(placed) == merged(orders)
    assert placed.first_token.tolist() == [0, *accumulate(placed.num_tokens.tolist())][:-1]
    assert (placed.first_position, placed.before.tolist()) == (0, [0] * len(orders))


@given(streams())
def test_every_part_that_is_placed_alone_is_that_part_of_the_whole(orders):
    stream, total = merged(orders), sum(quotas_of(orders))
    starts = [0, *accumulate(tokens for _, _, tokens in stream)]
    step = max(total // 12, 1)
    for low in range(0, total, step):
        for high in {low + 1, min(low + step, total), min(low + 3 * step + 1, total), total}:
            inside = [
                number
                for number in range(len(stream))
                if starts[number] < high and starts[number + 1] > low
            ]
            placed = place(orders, low, high)
            assert placed.first_position == inside[0]
            assert documents_of(placed) == [stream[number] for number in inside]
            assert placed.first_token.tolist() == [starts[number] for number in inside]
            assert placed.before.tolist() == [
                sum(tokens for source, _, tokens in stream[: inside[0]] if source == number)
                for number in range(len(orders))
            ]


@given(streams())
def test_a_part_is_found_where_the_first_stretch_does_not_cover_it(orders):
    total = sum(quotas_of(orders))
    low, high = total // 3, total // 3 + 1
    due = place(orders, low, high)
    for order in orders:
        order.selection = replace(order.selection, longest=1)
    found = place(orders, low, high)
    assert (found.source.tolist(), found.document.tolist()) == (
        due.source.tolist(),
        due.document.tolist(),
    )


def test_the_bound_is_that_of_the_formula():
    assert deviation_bound([5, 3, 2], [4, 1, 6]) == [
        (10 - 5) * 4 + 5 * (1 + 6),
        (10 - 3) * 1 + 3 * (4 + 6),
        (10 - 2) * 6 + 2 * (4 + 1),
    ]


def strays(stream: list[Document], quotas: list[int]) -> list[list[int]]:
    """|placed_s - w_s * T| * total of each source, in exact integers, after every single token of
    the stream.
    """
    total, placed = sum(quotas), [0] * len(quotas)
    found: list[list[int]] = [[] for _ in quotas]
    for source, _, tokens in stream:
        for _ in range(tokens):
            placed[source] += 1
            for number, quota in enumerate(quotas):
                found[number].append(abs(placed[number] * total - quota * sum(placed)))
    return found


@given(streams())
def test_no_prefix_of_any_length_strays_beyond_the_proven_bound(orders):
    quotas = quotas_of(orders)
    bounds = deviation_bound(quotas, [order.selection.longest for order in orders])
    for found, bound in zip(strays(merged(orders), quotas), bounds, strict=True):
        assert 2 * max(found) <= bound


@given(streams(), st.data())
def test_the_measured_deviation_is_the_largest_of_every_prefix(orders, data):
    quotas, stream = quotas_of(orders), merged(orders)
    cut = data.draw(st.integers(0, len(stream)))
    source, num_tokens = (
        np.array([document[column] for document in stream], np.int64) for column in (0, 2)
    )
    before = np.array(
        [
            sum(tokens for other, _, tokens in stream[:cut] if other == number)
            for number in range(len(quotas))
        ],
        np.int64,
    )
    first = deviation(np.zeros(len(quotas), np.int64), source[:cut], num_tokens[:cut], quotas)
    second = deviation(before, source[cut:], num_tokens[cut:], quotas)
    assert [max(pair) for pair in zip(first, second, strict=True)] == [
        max(found) for found in strays(stream, quotas)
    ]


@given(
    st.integers(1, 2**49) | st.integers(2**48, 2**49),
    st.lists(st.integers(0, 2**13), min_size=2, max_size=12),
    st.integers(1, 2**50) | st.integers(2**49, 2**50),
)
def test_the_measured_deviation_is_exact_at_the_largest_scale(begun, lengths, other):
    quotas = [begun + sum(lengths), other]
    source = np.arange(len(lengths)) % 2
    got = deviation(
        np.array([begun, other // 2], np.int64), source, np.array(lengths, np.int64), quotas
    )
    placed, largest = [begun, other // 2], [0, 0]
    for number, tokens in zip(source.tolist(), lengths, strict=True):
        placed[number] += tokens
        largest = [
            max(old, abs(have * sum(quotas) - quota * sum(placed)))
            for old, have, quota in zip(largest, placed, quotas, strict=True)
        ]
    assert got == largest


@given(st.integers(2, 2**51), st.data())
def test_positions_never_fall_within_a_source_at_any_scale(quota, data):
    start = data.draw(st.integers(0, quota - 2))
    tokens = data.draw(st.integers(1, quota - start - 1))
    after = data.draw(st.integers(1, quota - start - tokens))
    found = positions(
        np.array([start, start + tokens], np.int64), np.array([tokens, after], np.int64), quota
    )
    assert 0 < found[0] <= found[1] <= 1
    assert found[0] == (2 * start + tokens) / (2 * quota)


def test_equal_midpoints_stand_in_the_order_of_the_recipe():
    orders = [order_of([[4, 4]], 8), order_of([[2, 2]], 4), order_of([[6, 6]], 12)]
    placed = place(orders, 0, 24)
    assert placed.source.tolist() == [0, 1, 2, 0, 1, 2]
    many = [order_of([[size] * 100], size * 100) for size in (4, 2, 6)]
    assert place(many, 0, 1_200).source.tolist() == [0, 1, 2] * 100
