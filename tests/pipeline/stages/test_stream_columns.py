"""Runs of tokens, copied out of the store's files."""

from __future__ import annotations

import numpy as np
import pytest

from mixtures.errors import ManifestError
from pipeline.stages import stream_columns
from pipeline.stages.stream_columns import copy_runs

STORED = [np.arange(5000, dtype="<u2"), np.arange(5000, 9000, dtype="<u2")]


@pytest.fixture
def paths(tmp_path):
    for number, tokens in enumerate(STORED):
        (tmp_path / str(number)).write_bytes(tokens.tobytes())
    return [tmp_path / str(number) for number in range(len(STORED))]


@pytest.mark.parametrize(("read_bytes", "gap_bytes"), [(1 << 20, 1 << 16), (300, 40), (1, 0)])
def test_runs_in_any_order_are_copied_to_their_places(paths, monkeypatch, read_bytes, gap_bytes):
    monkeypatch.setattr(stream_columns, "READ_BYTES", read_bytes)
    monkeypatch.setattr(stream_columns, "GAP_BYTES", gap_bytes)
    draw = np.random.default_rng(1)
    for _ in range(20):
        # in order, with gaps, over again, and of both files in turn
        counts = draw.integers(0, 60, 80)
        files = draw.integers(0, 2, 80)
        origin = np.sort(draw.integers(0, 3900, 80))
        origin[60:] = origin[:20]
        ends = np.cumsum(counts)
        tokens = np.zeros(int(ends[-1]), "<u2")
        copy_runs(tokens, paths, files, origin, (ends - counts, ends))
        due = [
            STORED[file][at : at + count]
            for file, at, count in zip(files, origin, counts, strict=True)
        ]
        assert np.array_equal(tokens, np.concatenate(due))


def test_no_run_is_nothing_to_copy(paths):
    none = np.zeros(0, np.int64)
    copy_runs(np.zeros(0, "<u2"), paths, none.astype(np.uint32), none, (none, none))


def test_a_file_that_ends_too_early_is_an_error(paths):
    ends = np.array([50])
    with pytest.raises(ManifestError, match="ends before byte 8,020"):
        copy_runs(np.zeros(50, "<u2"), paths, np.array([1]), np.array([3960]), (ends - 50, ends))
