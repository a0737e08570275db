"""A comparison of two mixes is what sets of their documents give, its reasons are those of every
single row, and its claims are proven.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mixtures.audit.documents import MixDocuments
from mixtures.diff.compare import Comparison, open_documents
from mixtures.diff.figures import DiffFigures, OnlyFigures, SharedFigures
from mixtures.diff.settings import differing_settings
from mixtures.errors import ManifestError, RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims
from mixtures.words import plural
from pipeline.commands.diff.diff import diff
from pipeline.commands.diff.report import notes, source_rows
from pipeline.lookup.fates import Fates
from pipeline.lookup.selection import MixStore
from tests.mixtures.audit.forged_mix import ForgedMix, forge, forge_manifest, take_apart
from tests.pipeline.command_line import fails, passes
from tests.pipeline.commands.trace.test_trace import built, work  # noqa: F401
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe
from tests.pipeline.planted import planted, write_filters

PAIRS = [
    ("unfiltered", "list shrink"),
    ("list", "toy shrink copies"),
    ("toy copies", "insert"),
    ("reported", "contaminated"),
    ("quality", "unfiltered"),
    ("near", "dose and another"),
]


def answer(
    one: Path, two: Path, store: Path | None = None, listing: Path | None = None
) -> dict[str, Any]:
    """The comparison as machines read it."""
    return diff(one, two, store, listing).as_json()


def by_digest(mix: Path) -> dict[bytes, list[Any]]:
    """Places of each document."""
    found = defaultdict(list)
    for document in take_apart(mix).documents:
        found[document.digest].append(document)
    return found


def truth(fates: Fates, source: str, digest: bytes) -> str:
    """The reason of the first row of a source that holds a document, as every single row is
    traced.
    """
    if source not in {strand.name for strand in fates.mix.claims.sources}:
        return "source not in its recipe"
    return next(
        (fate.reason for fate in fates.of_digest(digest) if fate.origin.source == source),
        "not among the documents that it reads",
    )


def documents_by(found: dict[str, Any], side: str) -> dict[tuple[str, str], int]:
    """Documents of one mix alone, by source and reason."""
    reasons = (
        (name, reason, figures)
        for name, counts in found[f"only_{side}"].items()
        for reason, figures in counts.items()
    )
    return {(name, reason): figures["documents"] for name, reason, figures in reasons}


def tokens_of(found: dict[str, Any], side: str) -> int:
    """Tokens of all documents of one mix."""
    alone = sum(
        figures["tokens"]
        for reasons in found[f"only_{side}"].values()
        for figures in reasons.values()
    )
    return int(alone + sum(figures[f"tokens_{side}"] for figures in found["shared"].values()))


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_reasons_are_of_every_row_and_figures_of_sets(work, tmp_path, one, two):  # noqa: F811
    mixes = {"a": built(work, one), "b": built(work, two)}
    documents = {side: by_digest(mix) for side, mix in mixes.items()}
    fates = {side: Fates(MixStore(read_claims(mix), work / "store")) for side, mix in mixes.items()}
    for store in (None, work / "store"):
        listing = tmp_path / f"{store is None}.parquet"
        found = answer(mixes["a"], mixes["b"], store, listing=listing)
        rows = pl.read_parquet(listing).to_dicts()
        for side, other in (("a", "b"), ("b", "a")):
            mine = [row for row in rows if row["side"] == side]
            assert sorted(row["digest"] for row in mine) == sorted(
                documents[side].keys() - documents[other].keys()
            )
            for row in mine:
                places = documents[side][row["digest"]]
                assert row["source"] in {place.source for place in places}
                assert row["tokens"] == sum(len(place.tokens) for place in places)
                known = truth(fates[other], row["source"], row["digest"])
                assert known == row["reason"] if store else known in row["reason"].split(" or ")
            assert documents_by(found, side) == Counter(
                (row["source"], row["reason"]) for row in mine
            )
            assert tokens_of(found, side) == found[side]["tokens"]
        assert sum(figures["documents"] for figures in found["shared"].values()) == len(
            documents["a"].keys() & documents["b"].keys()
        )
        assert found["shared_otherwise"]["documents"] == sum(row["side"] == "both" for row in rows)


def test_the_pairs_have_every_kind_of_reason_and_some_that_only_the_store_knows(work):  # noqa: F811
    """Without this the test above could pass on pairs that hardly differ."""
    reasons: set[str] = set()
    for one, two in PAIRS:
        found = answer(built(work, one), built(work, two))
        reasons |= {
            reason
            for side in "ab"
            for counts in found[f"only_{side}"].values()
            for reason in counts
        }
    assert reasons >= {"filter list", "beyond quota", "source not in its recipe"}
    assert any(" or " in reason for reason in reasons)


# ---- claims


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unfiltered mix and its shrunk arm: a source in several epochs and one with a quota."""
    folder = tmp_path_factory.mktemp("arms")
    write_filters(folder / "filters")
    for name, texts in {"a": planted(1, 30), "b": planted(2, 200), "c": prose(3, 60)}.items():
        write_files(folder / "data", name, sharded(texts, 2))
    sources: dict[str, dict[str, Any]] = {
        "a": {"tokens": 1500, "shortfall": {"repeat": 4}},
        "b": {"tokens": 3000},
    }
    sources["c"] = {"tokens": 900, "keys": [0, 0.7]}
    shrunk: dict[str, Any] = {"filters": ["list"], "removed": "shrink"}
    for name, more in {"whole": {}, "shrunk": shrunk}.items():
        make(
            write_recipe(folder / "recipes", sources, name=name, **more),
            folder,
            folder / "data",
            name,
            filters=folder / "filters",
        )
    return folder


def test_a_shrunk_arm_is_the_whole_minus_what_the_filter_removed_in_the_same_order(arms):
    found = answer(arms / "whole", arms / "shrunk")
    documents = {name: by_digest(arms / name) for name in ("whole", "shrunk")}
    gone = len(documents["whole"].keys() - documents["shrunk"].keys())
    assert gone > 3
    assert found["claim"] == {
        "holds": True,
        "said": f"B = A minus {gone} documents, in the same order",
    }
    assert {reason for reasons in found["only_a"].values() for reason in reasons} == {"filter list"}
    assert found["order"] == {
        "same": True,
        "places": manifests.load(arms / "shrunk")["total_documents"],
        "first_difference": None,
    }
    assert (
        answer(arms / "shrunk", arms / "whole")["claim"]["said"]
        == f"A = B minus {gone} documents, in the same order"
    )


def test_two_documents_that_changed_places_refute_it_and_are_named(arms, tmp_path):
    mix = Path(shutil.copytree(arms / "shrunk", tmp_path / "mix"))
    at = manifests.load(mix)["total_documents"] // 2

    def change(whole: ForgedMix) -> None:
        whole.swap(whole.documents[at], whole.documents[at + 1])

    forge(mix, change)
    found = answer(arms / "whole", mix)
    assert not found["claim"]["holds"]
    assert "another order" in found["claim"]["said"]
    assert found["order"]["first_difference"]["b"] == at


def test_a_document_of_its_own_or_a_repeat_refutes_it(arms, tmp_path):
    def own(whole: ForgedMix) -> None:
        whole.documents[5].digest = bytes(16)

    def again(whole: ForgedMix) -> None:
        document = whole.of("c")[3]
        whole.documents.append(document)
        whole.manifest["total_documents"] += 1

    for number, (change, word) in enumerate([(own, "only in B"), (again, "stand otherwise")]):
        mix = Path(shutil.copytree(arms / "shrunk", tmp_path / str(number)))
        forge(mix, change)
        found = answer(arms / "whole", mix)
        assert not found["claim"]["holds"]
        assert word in found["claim"]["said"]


def relabel(mix: ForgedMix) -> None:
    mix.of("c")[2].source = "b"


def repeat_once_less(mix: ForgedMix) -> None:
    mix.documents.remove(next(item for item in mix.of("a") if item.epoch))
    mix.manifest["total_documents"] -= 1


def mark_copy(mix: ForgedMix) -> None:
    mix.of("c")[2].copy = 1


def mark_cut(mix: ForgedMix) -> None:
    mix.of("c")[2].cut = True


def shorten(mix: ForgedMix) -> None:
    mix.of("c")[2].tokens = mix.of("c")[2].tokens[1:]


def make_insert(mix: ForgedMix) -> None:
    mix.source("c")["insert"] = True


@pytest.mark.parametrize(
    ("kind", "change"),
    {
        "source": relabel,
        "cut": mark_cut,
        "repeated": repeat_once_less,
        "copied": mark_copy,
        "inserted": make_insert,
        "length": shorten,
    }.items(),
)
def test_a_shared_document_that_stands_otherwise_is_counted_by_what_differs(
    arms, tmp_path, kind, change
):
    mix = Path(shutil.copytree(arms / "whole", tmp_path / "mix"))
    forge(mix, change)
    found = answer(arms / "whole", mix)
    expected = len({item.digest for item in take_apart(mix).of("c")}) if kind == "inserted" else 1
    assert (found["shared_otherwise"][kind], found["shared_otherwise"]["documents"]) == (
        expected,
        expected,
    )
    assert not found["claim"]["holds"]


def test_equal_mixes_are_identical(arms):
    found = answer(arms / "whole", arms / "whole")
    assert (found["identical"], found["settings"], found["only_a"], found["only_b"]) == (
        True,
        [],
        {},
        {},
    )
    assert found["claim"] == {"holds": True, "said": "B = A, in the same order"}
    assert "identical: the same tokens" in passes("diff", arms / "whole", arms / "whole").out


def test_partitions_change_no_figure(arms):
    one, two = (open_documents(MixDocuments(arms / name)) for name in ("whole", "shrunk"))
    found = []
    for block in (10**6, 40):
        comparison = Comparison(one, two, block)
        found.append((pl.concat(comparison.partitions()).to_dicts(), comparison.order()))
        assert (comparison.bits > 2) == (block == 40)
    assert found[0] == found[1]


def test_what_was_asked_otherwise_is_listed(arms):
    settings = {
        item["setting"]: (item["a"], item["b"])
        for item in answer(arms / "whole", arms / "shrunk")["settings"]
    }
    assert settings["recipe.removed"] == (None, "shrink")
    assert settings["recipe.filters.list.fraction"] == (None, "1")
    assert "sources.c.asked_tokens" not in settings


def test_files_that_are_read_under_another_name_are_matched_by_their_content(arms):
    one = read_claims(arms / "whole")
    files = one.inputs["c"]
    two = one.model_copy(update={"inputs": {**one.inputs, "c": files[:1], "rest": files[1:]}})
    found = {item.setting: (item.a, item.b) for item in differing_settings(one, two)}
    rest = len(files) - 1
    lacking = "0 of them not in the other"
    assert found == {
        "inputs.c": (f"{plural(rest + 1, 'file')}, {lacking}", f"1 file, {lacking}"),
        "inputs.rest": (f"0 files, {lacking}", f"{plural(rest, 'file')}, {lacking}"),
        "inputs under another name": (
            f"c: {rest:,} of {plural(rest + 1, 'file')}",
            f"rest: {rest:,} of {plural(rest, 'file')}",
        ),
    }


# ---- the command


def test_no_digest_is_printed_and_a_list_is_private_and_never_overwritten(arms, tmp_path):
    listing = tmp_path / "list.parquet"
    before = os.umask(0)
    try:
        ended = [passes("diff", arms / "whole", arms / "shrunk", "--list", listing)]
    finally:
        os.umask(before)
    assert stat.S_IMODE(listing.stat().st_mode) == 0o600
    ended.append(passes("diff", arms / "whole", arms / "shrunk", "--json"))
    digests = [row["digest"].hex() for row in pl.read_parquet(listing).to_dicts()]
    assert digests == sorted(digests)
    assert not [digest for digest in digests for one in ended if digest[:8] in one.out + one.err]
    content = listing.read_bytes()
    assert "exists; delete it" in fails(
        2, "diff", arms / "whole", arms / "shrunk", "--list", listing
    )
    assert listing.read_bytes() == content
    assert ended[1].answer["claim"]["holds"] is True


def test_an_edited_table_and_a_bare_manifest_prove_nothing(arms, tmp_path):
    mix = Path(shutil.copytree(arms / "shrunk", tmp_path / "mix"))
    other = Path(shutil.copytree(arms / "whole", tmp_path / "other"))
    for part in sorted((mix / "documents.parquet").iterdir()):
        shutil.copy(other / "documents.parquet" / part.name, part)
    listing = tmp_path / "list.parquet"
    with pytest.raises(ManifestError, match="not those of its manifest"):
        answer(arms / "whole", mix, listing=listing)
    assert not listing.exists()
    forge_manifest(
        other, lambda manifest: manifest.update(total_documents=manifest["total_documents"] - 1)
    )
    with pytest.raises(ManifestError, match="documents in its table"):
        answer(arms / "whole", other)
    shutil.rmtree(mix / "documents.parquet")
    with pytest.raises(ManifestError, match="no documents"):
        answer(mix, arms / "whole")
    with pytest.raises(RecipeError, match="no store"):
        answer(arms / "whole", arms / "shrunk", tmp_path)


def test_lengths_are_not_compared_between_tokenizers(arms):
    mix = open_documents(MixDocuments(arms / "whole"))
    documents = next(Comparison(mix, mix).partitions())
    longer = documents.with_columns(
        pl.col("longest_b") + 1, pl.col("tokens_b") + pl.col("places_b")
    )
    same, other = DiffFigures.of(mix, mix), DiffFigures.of(mix, mix)
    other.same_tokenizer = False
    same.add_shared(longer)
    other.add_shared(longer)
    assert same.otherwise["length"] == int(np.sum(documents["cut_a"].to_numpy() == 0))
    assert other.differing == 0
    compared = diff(arms / "whole", arms / "shrunk")
    assert not any("tokenizers" in line for line in notes(compared))
    compared.figures.same_tokenizer = False
    assert sum("different tokenizers" in line for line in notes(compared)) == 1


def test_a_source_called_total_has_a_row_of_its_own():
    figures = DiffFigures((["total", "b"], ["total", "b"]), True)
    figures.shared |= {"total": SharedFigures(1, 1, 10, 2, 20), "b": SharedFigures(2, 2, 30, 2, 30)}
    figures.only["a"]["total", "beyond quota"] = OnlyFigures(3, 3, 40)
    assert source_rows(figures) == [
        ["b", 2, 30, 30, 0, 0, 0, 0],
        ["total", 1, 10, 20, 3, 40, 0, 0],
        ["total", 3, 40, 50, 3, 40, 0, 0],
    ]
