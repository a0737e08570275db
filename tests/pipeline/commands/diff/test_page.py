"""The page of two mixes shows the figures of their comparison and nothing that acts."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from pipeline.commands.diff import page as pages
from pipeline.commands.diff.diff import MixDiff, diff
from tests.mixtures.audit.forged_mix import ForgedMix, forge
from tests.pipeline.command_line import fails, passes
from tests.pipeline.commands.export.html.test_page import EVIL, check_harmless
from tests.pipeline.commands.trace.test_trace import built, work  # noqa: F401


@pytest.fixture(scope="module")
def pair(work: Path) -> tuple[Path, Path]:  # noqa: F811
    """A mix, and the same with a filter that scores."""
    return built(work, "unfiltered"), built(work, "toy")


@pytest.fixture(scope="module")
def compared(work: Path, pair: tuple[Path, Path]) -> MixDiff:  # noqa: F811
    return diff(*pair, store=work / "store")


def test_the_page_shows_what_the_comparison_counts(compared):
    shown = check_harmless(pages.page(compared))
    answer = compared.as_json()
    for side in ("a", "b"):
        documents = compared.figures.documents(side)
        assert documents
        assert f"only in {side.upper()}{documents:,} document" in shown.text.replace("\n", "")
    assert compared.figures.claim[1] in shown.text
    assert answer["a"]["identity"] in shown.text
    for name, spread in answer["only_lengths"]["a"].items():
        row = next(row for row in pages.length_table(compared.figures).rows if row[0] == name)
        assert row[3:6] == [f"{spread[f'percentile_{percent}']:,}" for percent in (10, 50, 90)]
    assert [tag for tag, _ in shown.found].count("section") == 5


def test_lengths_and_scores_are_those_of_the_documents_that_one_mix_alone_has(compared):
    only = {side: compared.figures.documents(side) for side in ("a", "b")}
    for side, lengths in compared.figures.lengths.items():
        assert sum(found.documents for found in lengths.values()) == only[side]
        tokens = sum(figures.tokens for figures in compared.figures.only[side].values())
        assert sum(found.tokens for found in lengths.values()) <= tokens  # each counted once
    (scores,) = compared.scores
    assert (scores.side, len(scores.counts["a"])) == ("b", len(scores.edges) - 1)
    removed = sum(
        figures.documents
        for (_, reason), figures in compared.figures.only["a"].items()
        if reason == f"filter {scores.label}"
    )
    above = [
        sum(count for low, count in zip(scores.edges, counts, strict=False) if low > scores.above)
        for counts in scores.counts.values()
    ]
    assert 0 < above[0] <= removed, "those in the bar of the threshold itself are not counted"
    assert above[1] == 0, "what stands in their place is not flagged"


def test_two_equal_mixes_have_a_page(pair):
    same = diff(pair[0], pair[0])
    shown = check_harmless(pages.page(same))
    assert "Both mixes have the same documents." in shown.text
    assert "identical: the same tokens, documents and order" in shown.text
    assert pages.page(same) == pages.page(same)


def test_names_and_strings_of_a_forged_mix_stay_text(pair, tmp_path):
    forged = shutil.copytree(pair[1], tmp_path / "forged")

    def change(mix: ForgedMix) -> None:
        mix.manifest["name"] = f"{EVIL}\x1b[31m"
        mix.manifest["inputs"] = {
            **mix.manifest["inputs"],
            EVIL: [{"path": EVIL, "size": 0, "sha256": "0" * 64}],
        }

    forge(forged, change)
    shown = check_harmless(pages.page(diff(pair[0], forged)))
    assert shown.text.count(EVIL) >= 3
    assert "\x1b" not in shown.text


def test_a_page_that_cannot_be_written_leaves_no_list(pair, tmp_path, monkeypatch):
    files = ("--html", tmp_path / "page.html", "--list", tmp_path / "list.parquet")

    def full(diff: MixDiff) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "page.html"))

    with monkeypatch.context() as patched:
        patched.setattr(pages, "page", full)
        assert "page.html: No space left on device" in fails(1, "diff", *pair, *files)
    assert list(tmp_path.iterdir()) == []
    passes("diff", *pair, *files)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_writes_the_page_and_overwrites_nothing(pair, tmp_path):
    file = tmp_path / "page.html"
    ended = passes("diff", *pair, "--html", file)
    assert file.stat().st_size > 10_000
    assert "why not in the other" in ended.out
    assert "exists" in fails(2, "diff", *pair, "--html", file)
    assert "inside" in fails(2, "diff", *pair, "--html", pair[0] / "page.html")
    nowhere = tmp_path / "nowhere" / "page.html"
    assert "no folder" in fails(2, "diff", *pair, "--html", nowhere)
    assert "no folder" in fails(2, "export", pair[0], "--html", nowhere)
