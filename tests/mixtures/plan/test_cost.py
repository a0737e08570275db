"""What a plan says that a build takes, held against the stages and against what was measured."""

from __future__ import annotations

import pytest

from mixtures.plan import cost
from mixtures.recipe.load import load_recipe
from pipeline.stages import ingest, select, write
from tests.benchmarks.bench_scale import make, planned

MEASURED = {
    "select, CPU s": 4.9,
    "write, CPU s": 17.2,
    "select, MB of memory": 266,
    "write, MB of memory": 326,
    "store, MB": 5_592,
    "mix, MB": 4_152,
}
"""By `make scale` at 0.04, on 2026-11-29 (docs/benchmarks.md)."""


def test_a_plan_is_within_a_quarter_of_what_was_measured(tmp_path):
    said = planned(load_recipe(str(make(tmp_path, 0.04))))
    assert said == pytest.approx(MEASURED, rel=0.25)


def test_a_plan_counts_in_the_sizes_of_the_stages():
    assert cost.SEGMENT_TEXT_BYTES == ingest.SEGMENT_BYTES
    assert cost.CHUNK_BYTES == write.CHUNK_BYTES
    assert cost.SLICE_BYTES == write.CHUNK_BYTES * write.SLICE_CHUNKS
    for documents in (1, 4_500_000, 4_500_001, 10**8, 10**10):
        assert cost.key_partitions(documents) == select.num_partitions(documents)
