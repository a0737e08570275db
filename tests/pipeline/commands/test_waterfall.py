"""The table of what became of the rows of each source, and what searches dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mixtures.mix.claim import PublishedClaims
from mixtures.mix.claims import Claims, SourceClaim
from mixtures.mix.judged.contamination import ContaminationClaim
from mixtures.mix.judged.filters import FilterClaim, RemovedClaim
from mixtures.mix.judged.near import NearClaim
from pipeline.commands.build.removals import removal_table
from pipeline.commands.build.report import (
    FATES,
    drop_lines,
    fate_of,
    joined,
    waterfall_table,
)

A = {
    "rows": 40,
    "empty": 1,
    "where": 0,
    "quality c4-quality": 2,
    "duplicate of a": 3,
    "duplicate of b": 4,
    "filter toy": 5,
    "kept": 25,
}
B = {
    "rows": 9,
    "quarantined": 1,
    "excluded": 2,
    "near-duplicate of a": 3,
    "out of key range": 1,
    "contaminated": 1,
    "beyond quota": 1,
}
REASONS = st.sampled_from([*A, *B, "a reason of the future"])


def test_reasons_stand_in_the_order_in_which_they_are_decided_and_copies_are_added_up():
    table, parts = (waterfall_table({"a": A, "b": B}, total=total) for total in (True, False))
    rows = table.cells
    assert (parts.names, parts.cells) == (table.names, rows[:-1])
    assert table.names == [
        *(
            "source",
            "rows",
            "empty",
            "quarantined",
            "quality c4-quality",
            "out of key range",
            "duplicates",
            "excluded",
            "near-duplicates",
        ),
        *("contaminated", "filter toy", "beyond quota", "kept"),
    ]
    assert rows[0] == ["a", "40", "1", "0", "2", "0", "7", "0", "0", "0", "5", "0", "25"]
    assert rows[-1] == ["total", "49", "1", "1", "2", "1", "7", "2", "3", "1", "5", "1", "25"]


@given(st.dictionaries(REASONS, st.integers(0, 9)))
def test_no_row_is_lost_and_every_reason_has_a_kind(counts: dict[str, int]):
    assert sum(joined(counts).values()) == sum(counts.values())
    assert joined(joined(counts)) == joined(counts)
    assert {fate_of(reason) for reason in joined(counts)} <= set(FATES)


def test_what_searches_dropped_is_told_of_each_source_also_if_it_is_nothing():
    removed = {
        "a": {"rows": 9, "near-duplicate of a": 2, "near-duplicate of b": 1, "contaminated": 4},
        "b": {"rows": 1},
    }
    contamination = ContaminationClaim.model_construct(action="drop")
    claims = Claims.model_construct(
        near=NearClaim.model_construct(), contamination=contamination, removed=removed
    )
    assert drop_lines(claims) == [
        "dropped, near-duplicates: 3 documents (a 3)",
        "dropped, contaminated by evaluation sets: 4 documents (a 4)",
    ]
    none = Claims.model_construct(near=None, contamination={}, removed=removed)
    assert drop_lines(none) == []
    nothing = Claims.model_construct(near=None, contamination=contamination, removed={"b": {}})
    assert drop_lines(nothing) == ["dropped, contaminated by evaluation sets: 0 documents"]


def test_what_filters_removed_of_a_source_called_total_is_not_taken_for_the_sum():
    claims = Claims.model_construct(
        filters=[
            FilterClaim.model_construct(
                removed={
                    name: RemovedClaim(
                        documents=count, tokens=count, first_documents=count, first_tokens=count
                    )
                    for name, count in (("total", 1), ("b", 2))
                }
            )
        ],
        removed={"total": {"kept": 3}, "b": {"kept": 6}},
        published=PublishedClaims(),
        sources=[SourceClaim.model_construct(name=name) for name in ("total", "b")],
        recipe={"sources": [{"name": "total", "corpus": "all"}, {"name": "b"}]},
    )
    assert [row[:4] for row in removal_table(claims).cells] == [
        ["total", "1", "1", "25.00%"],
        ["b", "2", "2", "25.00%"],
        ["all in all", "1", "1", "25.00%"],
        ["total", "3", "3", "25.00%"],
    ]
