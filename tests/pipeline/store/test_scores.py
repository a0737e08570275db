"""What a table of scores covers: escalated documents of a list, from the threshold on at which they
were scored.
"""

from __future__ import annotations

import pytest

from mixtures.keys import KeyRange
from pipeline.store.records import DONE, write_record
from pipeline.store.rules import TermRule, TextRule
from pipeline.store.scores import SCORE_PARTITIONS, ScoredRange, ScoreTable, partition_name
from pipeline.store.store import Store

TERMS, OTHER = TermRule("a" * 64, "words"), TermRule("a" * 64, "published")


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        (TextRule(TERMS, 2), [(0, 16), (32, 64)]),
        (
            TextRule(TERMS, 3),
            [(0, 16), (32, 64)],
        ),  # escalated from three terms on, so from two on as well
        (TextRule(TERMS, 1), [(0, 64)]),
        (TextRule(OTHER, 2), [(0, 64)]),
    ],
)
def test_a_higher_threshold_is_covered_by_the_scores_of_a_lower_one_and_nothing_else_is(
    tmp_path, rule, missing
):
    table = ScoreTable(Store(tmp_path / "store"), "c" * 64)
    for number in range(SCORE_PARTITIONS):
        folder = table.folder / "one" / partition_name(number)
        folder.mkdir(parents=True)
        write_record(folder / DONE, {"outputs": {}})
    table.seal(table.folder / "one", [ScoredRange(TERMS.folders, 2, "ledger", "10", "20")])
    assert table.missing(rule, "ledger", KeyRange(0, 64)) == missing
    assert table.missing(rule, "another ledger", KeyRange(0, 64)) == [(0, 64)]
