"""`audit --source-check`, `--store` and `--full`: what they read again, what they refuse, and what
they say is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from mixtures.audit import audit_mix
from mixtures.audit.documents import MixDocuments
from mixtures.mix import manifest as manifests
from mixtures.mix.manifest import Manifest
from pipeline.commands.audit.sources import check_sources, chosen_places
from pipeline.commands.audit.store import check_store
from pipeline.inputs.listing import DataFolders
from tests.mixtures.audit.forged_mix import ForgedMix, forge, forge_manifest, take_apart
from tests.pipeline.command_line import Ended, fails, passes, run
from tests.pipeline.corpus import make


@pytest.fixture
def mix(work: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(work / "mix", tmp_path / "mix"))


def audit(*arguments: str | Path) -> tuple[dict[str, bool], Ended]:
    """Checks of an audit by name, and how it ended."""
    ended = run("audit", *arguments, "--json")
    return {check["name"]: check["ok"] for check in ended.answer["checks"]}, ended


def test_a_full_audit_makes_the_checks_that_its_inputs_allow_and_names_the_others(work):
    found, ended = audit(work / "mix", "--full")
    assert (
        ended.code,
        all(found.values()),
        "repeated tokens" in found,
        "source tokens" in found,
    ) == (0, True, True, False)
    missing = " ".join(ended.answer["not_checked"])
    assert all(word in missing for word in ("--data DIR", "--store DIR", "--filter F", "toy"))
    found, ended = audit(work / "mix", "--full", "--data", work / "data", "--store", work / "store")
    assert (ended.code, all(found.values())) == (0, True)
    assert found.keys() >= {"source files", "source text", "source tokens"}
    (files,) = (
        check["figure"] for check in ended.answer["checks"] if check["name"] == "source files"
    )
    assert files.startswith("9 files "), "each once, though documents of b are in the mix twice"
    assert found.keys() >= {
        "store documents",
        "store removals",
        "store filters",
        "store near-duplicates",
    }
    assert [line for line in ended.answer["not_checked"] if "--filter" not in line] == []
    assert "not checked: " in passes("audit", work / "mix", "--full").err


def test_all_places_of_the_documents_with_the_smallest_digests_are_read_again(work):
    documents, mix = take_apart(work / "mix").documents, MixDocuments(work / "mix")
    digests = sorted({document.digest for document in documents})
    for number in (1, 7, len(digests), 10**6):
        chosen = set(digests[:number])
        expected = [
            position for position, document in enumerate(documents) if document.digest in chosen
        ]
        assert [place.position for place in chosen_places(mix, number)] == expected
    figures = [
        check.figure
        for check in check_sources(work / "mix", 10**6, DataFolders(work / "data"), None)
    ]
    assert f"{len(documents):,} places" in figures[1]
    assert f"{manifests.load(work / 'mix')['total_tokens']:,} tokens" in figures[2]


def test_a_cut_document_is_held_to_the_length_that_it_was_cut_from(work, mix):
    def change(manifest: Manifest) -> None:
        cut = next(
            source["cut"]
            for source in manifest["sources"]
            if source["cut"] and source["epochs"] == 1
        )
        cut["num_tokens"] += 1

    forge_manifest(mix, change)
    assert audit_mix(mix).passed
    failures = [
        check
        for check in check_sources(mix, 10**6, DataFolders(work / "data"), None)
        if not check.ok
    ]
    assert [check.name for check in failures] == ["source tokens"]
    assert "the manifest says it was cut from" in failures[0].detail


def test_a_source_file_that_is_gone_or_damaged_is_named(work, tmp_path):
    data = Path(shutil.copytree(work / "data", tmp_path / "data"))
    first, second = sorted((data / "b").iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-9])
    check = check_sources(work / "mix", 10**6, DataFolders(data), None)[0]
    assert (check.ok, first.name in check.detail, second.name in check.detail) == (
        False,
        True,
        True,
    )
    shutil.rmtree(data / "a")
    assert "no such folder" in fails(
        4, "audit", work / "mix", "--source-check", "999", "--data", data
    )


def forged_scores(manifest: Manifest) -> None:
    manifest["filters"][0]["scores"]["blake3"] = "0" * 64


def other_clusters(manifest: Manifest) -> None:
    manifest["near"]["documents"] += 1


def moved_from_filter_to_duplicates(manifest: Manifest) -> None:
    toy, counts = manifest["filters"][0], manifest["removed"]["b"]
    counts["filter toy weak"] -= 1
    counts["duplicate of a"] = counts.get("duplicate of a", 0) + 1
    for name in ("documents", "first_documents"):
        toy["removed"]["b"][name] -= 1
    toy["lengths"][max(toy["lengths"], key=toy["lengths"].__getitem__)] -= 1
    toy["levels"]["weak"] -= 1


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        (forged_scores, {"store manifest", "store filters"}),
        (other_clusters, {"store manifest", "store near-duplicates"}),
        (
            moved_from_filter_to_duplicates,
            {"store manifest", "store filters", "store removals"},
        ),
    ],
)
def test_figures_that_agree_with_each_other_are_seen_by_the_store_alone(
    work: Path, mix: Path, change: Callable[[Manifest], None], checks: set[str]
) -> None:
    forge_manifest(mix, change)
    assert audit_mix(mix, full=True).passed
    assert {check.name for check in check_store(mix, work / "store") if not check.ok} == checks


def test_a_document_that_the_selection_does_not_have_is_seen(work, mix):
    def change(whole: ForgedMix) -> None:
        whole.of("extra")[-1].digest = b"\xff" * 16

    forge(mix, change)
    assert {check.name for check in check_store(mix, work / "store") if not check.ok} == {
        "store documents"
    }


def test_another_store_or_a_mix_that_it_did_not_make_fails_every_check(work, mix, tmp_path):
    def change(manifest: Manifest) -> None:
        manifest["sources"][0]["resolved_tokens"] += 40

    forge_manifest(mix, change)
    manifest, *others = check_store(mix, work / "store")
    assert "resolved_tokens" in manifest.detail
    assert {check.figure for check in others} == {"not checked"}
    make(
        work / "recipes" / "mix.yaml",
        tmp_path,
        work / "data",
        "other",
        filters=work / "filters",
        scale=Fraction(1, 3),
    )
    shutil.rmtree(tmp_path / "store" / "sources")
    found = check_store(mix, tmp_path / "store")
    assert {check.figure for check in found[1:]} == {"not checked"}
    assert not found[0].ok


def test_options_that_would_do_nothing_are_usage_errors(work):
    assert "--data: without" in fails(2, "audit", work / "mix", "--data", work / "data")
    assert "names no sources" in fails(2, "audit", work / "mix" / "tokens", "--source-check", "3")
    assert "--store: without" in fails(
        2, "audit", work / "mix" / "tokens", "--store", work / "store"
    )
    assert "no store there" in fails(2, "audit", work / "mix", "--store", work)
