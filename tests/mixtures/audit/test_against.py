"""`audit --against`: documents that mixes share are found by digest, whatever their sources are
called.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.audit import Check, audit_against, audit_mix
from mixtures.audit.against import shared_documents
from mixtures.audit.documents import by_digest
from mixtures.errors import ManifestError
from mixtures.recipe.load import load_recipe
from mixtures.stream.quotas import Size
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.executors.local import LocalExecutor
from tests.mixtures.audit.forged_mix import ForgedMix, forge, forge_manifest, part, take_apart

# few values, so that halves and whole digests often coincide
HALVES = st.sampled_from([0, 1, 2, 1 << 63, (1 << 64) - 1])
DOCUMENTS = st.lists(
    st.tuples(HALVES, HALVES, st.integers(-1, 2)), max_size=40
)  # -1: a source that the manifest does not list


def parts_of(documents: list[tuple[int, int, int]], size: int) -> list[pl.DataFrame]:
    return [
        by_digest(
            np.array([item[:2] for item in documents[low : low + size]], np.uint64).reshape(-1, 2),
            source=np.array([item[2] for item in documents[low : low + size]], np.int32),
        )
        for low in range(0, len(documents), size)
    ]


@given(DOCUMENTS, DOCUMENTS, st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_shared_documents_are_those_of_a_set_oracle(
    small: list[tuple[int, int, int]],
    large: list[tuple[int, int, int]],
    small_part: int,
    large_part: int,
    block: int,
) -> None:
    found = shared_documents(
        parts_of(small, small_part), lambda: parts_of(large, large_part), block
    )
    pairs = {
        ((high, low), here, there)
        for high, low, here in small
        for *other, there in large
        if [high, low] == other
    }
    assert found == dict(Counter((here, there) for _, here, there in pairs))


@pytest.fixture(scope="module")
def mixes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample, a preview of it, and its pretraining half, from one store."""
    folder, built = tmp_path_factory.mktemp("against"), {}
    for name, recipe, size in (
        ("sample", "sample", Size()),
        ("preview", "sample", Size(tokens=50_000)),
        ("pretraining", "sample-pretraining", Size()),
    ):
        executor = LocalExecutor(workers=1, tasks=1)
        request = BuildRequest(
            load_recipe(recipe),
            folder / name,
            folder / "store",
            size=size,
            executor=executor,
            chunk_bytes=16_384,
            slice_chunks=3,
        )
        build(request)
        built[name] = folder / name
    return built


def names_of(checks: list[Check]) -> list[tuple[str, bool]]:
    return [(check.name, check.ok) for check in checks]


def test_sample_and_its_pretraining_half_share_nothing(mixes: dict[str, Path]) -> None:
    for one, two, name in (
        ("sample", "pretraining", "sample-pretraining"),
        ("pretraining", "sample", "sample"),
    ):
        checks = audit_against(mixes[one], [mixes[two]])
        assert names_of(checks) == [
            (f"shared documents with {name}", True),
            (f"key ranges with {name}", True),
        ]
        assert checks[0].figure.startswith("0 documents shared")
        assert checks[1].figure.startswith("disjoint in 1 common definition")


def test_preview_shares_every_document_with_the_sample(mixes: dict[str, Path]) -> None:
    documents = {item.digest for item in take_apart(mixes["preview"]).documents}
    checks = audit_against(mixes["preview"], [mixes["pretraining"], mixes["sample"]])
    assert [check.ok for check in checks] == [True, True, False, False]
    assert checks[2].figure.startswith(f"{len(documents):,} documents shared")


def test_copies_under_another_source_and_key_range_are_found(
    mixes: dict[str, Path], tmp_path: Path
) -> None:
    other = Path(shutil.copytree(mixes["pretraining"], tmp_path / "other"))
    copied = [item.digest for item in take_apart(mixes["sample"]).of("wiki")[:3]] + [
        take_apart(mixes["sample"]).of("flan")[7].digest
    ]

    def change(mix: ForgedMix) -> None:
        for document, digest in zip(mix.documents[10:], copied, strict=False):
            document.digest = digest

    forge(other, change)
    proof, _ = audit_against(mixes["sample"], [other])
    assert not proof.ok
    assert proof.figure.startswith("4 documents shared")
    assert "3 documents of wiki in dclm; 1 document of flan in dclm" in proof.detail


def test_a_manifest_without_documents_proves_nothing(
    mixes: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_bytes((mixes["pretraining"] / "manifest.json").read_bytes())
    for other in (tmp_path, tmp_path / "manifest.json"):
        checks = audit_against(mixes["sample"], [other])
        assert [check.ok for check in checks] == [False, True]
        assert "no documents" in checks[0].detail


def test_ranges_that_meet_are_a_fault_unless_documents_prove_the_contrary(
    mixes: dict[str, Path], tmp_path: Path
) -> None:
    other = Path(shutil.copytree(mixes["pretraining"], tmp_path / "other"))
    forge_manifest(
        other, lambda manifest: manifest["sources"][0].update(keys=["0", "c000000000000000"])
    )
    checks = audit_against(mixes["sample"], [other])
    assert [check.ok for check in checks] == [True, True]
    assert "meet in dclm-dedup [8000000000000000, c000000000000000)" in checks[1].figure
    shutil.rmtree(other / "documents.parquet")
    assert [check.ok for check in audit_against(mixes["sample"], [other])] == [False, False]


@pytest.mark.parametrize("damage", ["swap", "delete", "rubbish"])
def test_a_table_that_is_not_the_manifests_proves_nothing(
    mixes: dict[str, Path], tmp_path: Path, damage: str
) -> None:
    other = Path(shutil.copytree(mixes["pretraining"], tmp_path / "other"))
    if damage == "swap":
        shutil.copy(part(other, "documents", 1), part(other, "documents", 2))
    elif damage == "delete":
        part(other, "documents", 1).unlink()
    else:
        part(other, "documents", 1).write_bytes(b"rubbish")
    checks = audit_against(mixes["sample"], [other])
    assert not checks[0].ok
    assert checks[0].figure == "not checked"


def test_an_edited_manifest_is_refused(mixes: dict[str, Path], tmp_path: Path) -> None:
    text = (mixes["pretraining"] / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace("8000000000000000", "7000000000000000"))
    with pytest.raises(ManifestError, match="edited"):
        audit_against(mixes["sample"], [tmp_path])


def test_mixes_that_are_compared_pass_their_own_audit(mixes: dict[str, Path]) -> None:
    assert [audit_mix(folder, full=True).failures for folder in mixes.values()] == [[], [], []]


def test_mixes_of_one_name_are_told_apart_by_folder(mixes: dict[str, Path]) -> None:
    checks = audit_against(mixes["preview"], [mixes["sample"], mixes["pretraining"]])
    assert [check.name for check in checks] == [
        f"shared documents with {mixes['sample']}",
        f"key ranges with {mixes['sample']}",
        "shared documents with sample-pretraining",
        "key ranges with sample-pretraining",
    ]
