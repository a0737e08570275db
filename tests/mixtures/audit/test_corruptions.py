"""Every corruption of a finished mix is noticed by the check that is there for it: damage, and
forgeries with every hash made anew.

What a mix holds cannot contradict a forger who changes all of it consistently; what is outside can:
the sources, and the store.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixtures.audit import audit_mix
from mixtures.mix import manifest as manifests
from mixtures.recipe.load import load_recipe
from mixtures.stream.quotas import Size
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.commands.audit.sources import check_sources
from pipeline.commands.audit.store import check_store
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from tests.mixtures.audit.forged_mix import ForgedMix, forge, forge_manifest, take_apart

ALL = 100_000  # documents to read again: more than there are


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preview of the sample, with a store beside it."""
    folder = tmp_path_factory.mktemp("corruptions")
    executor = LocalExecutor(workers=1, tasks=1)
    request = BuildRequest(
        load_recipe("sample"),
        folder / "mix",
        folder / "store",
        size=Size(tokens=30_000),
        executor=executor,
    )
    build(request)
    return folder / "mix"


@pytest.fixture
def mix(clean: Path, tmp_path: Path) -> Path:
    """A copy of the clean mix to damage."""
    return Path(shutil.copytree(clean, tmp_path / "mix"))


def failed(mix: Path, clean: Path, data: Path) -> set[str]:
    """Checks that fail in the deepest audit: the mix itself, its sources and its store."""
    beside = [
        *check_sources(mix, ALL, DataFolders(data), None),
        *check_store(mix, clean.parent / "store"),
    ]
    return {check.name for check in [*audit_mix(mix, full=True).checks, *beside] if not check.ok}


def test_the_clean_mix_passes_the_deepest_audit(clean, sample_data):
    assert failed(clean, clean, sample_data) == set()


def other_token(mix: Path) -> None:
    content = bytearray((mix / "tokens.bin").read_bytes())
    content[2 * 5_001] ^= 1
    (mix / "tokens.bin").write_bytes(content)


def swapped_bytes(mix: Path) -> None:
    whole = take_apart(mix)
    one, two = whole.of("dclm")[3:5]
    whole.swap(one, two)
    (mix / "tokens.bin").write_bytes(
        np.concatenate([document.tokens for document in whole.documents]).tobytes()
    )


def truncated(mix: Path) -> None:
    with (mix / "tokens.bin").open("r+b") as file:
        file.truncate(50_000)


def index_of_another(mix: Path) -> None:
    other = mix.parent / "other"
    shutil.copytree(mix, other)
    forge(other, lambda whole: whole.documents.__delitem__(-1))
    shutil.copy(other / "tokens.idx", mix / "tokens.idx")


def extra_file(mix: Path) -> None:
    (mix / "tokens.bin.bak").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        pytest.param(other_token, "chunk hashes", id="one token changed"),
        pytest.param(swapped_bytes, "chunk hashes", id="two documents swapped"),
        pytest.param(truncated, "bin size", id="a truncated .bin"),
        pytest.param(index_of_another, "idx hash", id="an .idx of another mix"),
        pytest.param(extra_file, "files", id="an extra file"),
    ],
)
def test_damage_is_noticed_by_name(mix, damage, check):
    damage(mix)
    assert check in {found.name for found in audit_mix(mix).failures}


# ---- documents: tokens, .idx, tables and every hash made anew


def other_token_inside(whole: ForgedMix) -> None:
    document = next(item for item in whole.of("dclm") if len(item.tokens) > 5)
    document.tokens = document.tokens.copy()
    document.tokens[2] = (
        document.tokens[3] if document.tokens[2] != document.tokens[3] else document.tokens[2] + 1
    )


def other_token_of_a_cut_document(whole: ForgedMix) -> None:
    document = next(item for item in whole.documents if item.cut and len(item.tokens) > 5)
    document.tokens = document.tokens.copy()
    document.tokens[1] += 1


def swapped_in_their_source(whole: ForgedMix) -> None:
    whole.swap(*whole.of("dclm")[3:5])


def swapped_texts(whole: ForgedMix) -> None:
    """Two documents of one source and length exchange their tokens; all that the tables say
    stays.
    """
    seen: dict[int, Any] = {}
    for document in whole.of("flan"):
        if (
            not document.cut
            and (first := seen.setdefault(len(document.tokens), document)) is not document
        ):
            first.tokens, document.tokens = document.tokens, first.tokens
            return
    raise AssertionError("no two documents of one length")


def relabelled(whole: ForgedMix) -> None:
    whole.of("flan")[3].source = "pes2o"


def repeated(whole: ForgedMix) -> None:
    whole.documents.insert(40, whole.documents[40])


def other_digest(whole: ForgedMix) -> None:
    whole.of("dclm")[4].digest = bytes(16)


def other_row(whole: ForgedMix) -> None:
    one, two = whole.of("flan")[3:5]
    one.file, one.row, two.file, two.row = two.file, two.row, one.file, one.row


def row_that_is_not_there(whole: ForgedMix) -> None:
    whole.of("flan")[3].row = 10**9


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        pytest.param(
            swapped_in_their_source, {"key order"}, id="two documents of a source swapped"
        ),
        pytest.param(
            relabelled, {"quotas", "provenance", "source files"}, id="a source relabelled"
        ),
        pytest.param(
            repeated, {"duplicates", "quotas", "store documents"}, id="a document repeated"
        ),
        pytest.param(
            other_digest, {"key order", "source text", "store documents"}, id="a digest changed"
        ),
        pytest.param(
            other_row, {"source text", "source tokens"}, id="rows of provenance exchanged"
        ),
        pytest.param(row_that_is_not_there, {"source text"}, id="a row that is not there"),
    ],
)
def test_forged_documents_are_noticed_by_name(mix, clean, sample_data, change, checks):
    forge(mix, change)
    assert checks <= failed(mix, clean, sample_data)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(other_token_inside, id="a token inside a document"),
        pytest.param(other_token_of_a_cut_document, id="a token of a cut document"),
        pytest.param(swapped_texts, id="tokens of two documents exchanged"),
    ],
)
def test_a_token_changed_with_every_hash_is_seen_by_sources_and_store_alone(
    mix, clean, sample_data, change
):
    forge(mix, change)
    assert audit_mix(mix, full=True).passed
    assert failed(mix, clean, sample_data) == {"source tokens", "store tokens"}


# ---- the manifest, with every hash made anew


def source_of(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in manifest["sources"] if item["name"] == name)


def other_count(manifest: dict[str, Any]) -> None:
    source_of(manifest, "flan")["documents"] += 1


def other_quotas(manifest: dict[str, Any]) -> None:
    for field in ("asked_tokens", "resolved_tokens", "realised_tokens"):
        source_of(manifest, "flan")[field] += 1
        source_of(manifest, "dclm")[field] -= 1


def moved_removals(manifest: dict[str, Any]) -> None:
    """A count moves from one reason to another: rows still balance."""
    counts = next(
        found
        for found in manifest["removed"].values()
        if any(name.startswith("duplicate of") for name in found)
    )
    counts[next(name for name in counts if name.startswith("duplicate of"))] -= 1
    counts["beyond quota"] += 1


def more_rows(manifest: dict[str, Any]) -> None:
    manifest["removed"]["flan"]["rows"] += 5
    manifest["removed"]["flan"]["empty"] += 5


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        pytest.param(other_count, {"quotas"}, id="a count"),
        pytest.param(other_quotas, {"quotas", "asked quotas"}, id="quotas"),
    ],
)
def test_a_forged_manifest_is_noticed_by_name(mix, clean, sample_data, change, checks):
    forge_manifest(mix, change)
    assert checks <= failed(mix, clean, sample_data)


@pytest.mark.parametrize("change", [moved_removals, more_rows])
def test_removals_that_still_balance_are_seen_by_the_store_alone(mix, clean, sample_data, change):
    forge_manifest(mix, change)
    assert audit_mix(mix, full=True).passed
    assert failed(mix, clean, sample_data) == {"store manifest", "store removals"}


def test_a_source_that_was_changed_after_the_build_is_noticed_by_name(clean, sample_data, tmp_path):
    data = Path(shutil.copytree(sample_data, tmp_path / "data"))
    files = {file["path"] for file in manifests.load(clean)["inputs"]["dolmino-flan"]}
    for path in files:
        (data / "dolmino-flan" / path).unlink()
    one = next(iter(sample_data.joinpath("dolmino-wiki").rglob("*.json.gz")))
    for path in files:
        (data / "dolmino-flan" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(one, data / "dolmino-flan" / path)
    found = {check.name: check for check in check_sources(clean, ALL, DataFolders(data), None)}
    assert not found["source files"].ok
    assert "the mix was made from" in found["source files"].detail
