"""The audit passes a clean mix, and notices each corruption in the check that is there for it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.audit import audit_bare, audit_mix
from mixtures.audit import mix as audit_of_mixes
from mixtures.audit.pair import pointer_faults, try_open
from mixtures.audit.recipe import require_recipe
from mixtures.audit.stream import Stream, count_stream
from mixtures.audit.tables import columns as table_columns
from mixtures.audit.tables.parts import read_part
from mixtures.errors import ManifestError, RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims, typed
from mixtures.mix.tables import DOCUMENTS, PROVENANCE, part_hash
from mixtures.recipe.load import load_recipe
from mixtures.stream.quotas import Size
from mixtures.trainers.schedule import Schedule
from mixtures.words import percent_text
from mixtures.yaml.fields import json_digest
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.commands.audit import report as audit_report
from pipeline.commands.audit.audit import MixAudit
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from tests.mixtures.audit.forged_mix import (
    Document,
    ForgedMix,
    forge,
    forge_manifest,
    part,
    take_apart,
)

CHUNK_BYTES, SLICE_CHUNKS = (
    16_384,
    3,
)  # 25 chunks and 9 slices: every boundary of the layout lies somewhere inside the sample


AS_ASKED = Size()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe `sample`: 8 sources, one refilled, one in two epochs, seven cut documents."""
    folder = tmp_path_factory.mktemp("audit")
    return build_mix(folder / "mix", folder / "store", "sample")


def build_mix(
    out: Path, store: Path, recipe: str, size: Size = AS_ASKED, data: Path | None = None
) -> Path:
    request = BuildRequest(
        load_recipe(recipe),
        out,
        store,
        DataFolders(data),
        size=size,
        executor=LocalExecutor(workers=1, tasks=1),
    )
    build(replace(request, chunk_bytes=CHUNK_BYTES, slice_chunks=SLICE_CHUNKS))
    return out


@pytest.fixture
def mix(clean: Path, tmp_path: Path) -> Path:
    """A copy of the clean mix to damage."""
    return Path(shutil.copytree(clean, tmp_path / "mix"))


@pytest.fixture(scope="module")
def spare(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for tests that mend what they damage."""
    return Path(shutil.copytree(clean, tmp_path_factory.mktemp("spare") / "mix"))


def failed(folder: Path, full: bool = False) -> set[str]:
    return {check.name for check in audit_mix(folder, full).failures}


# ---- what is whole passes


def test_clean_mix_passes_every_check(clean: Path) -> None:
    report = audit_mix(clean, full=True)
    assert report.failures == []
    assert report.passed
    assert len(report.checks) == len({check.name for check in report.checks}) == 27
    assert all(check.figure and not check.detail for check in report.checks)


def test_report_counts_what_the_manifest_says(clean: Path) -> None:
    report, manifest = audit_mix(clean), manifests.load(clean)
    assert (report.total_tokens, report.total_documents, report.eod_tokens) == (
        200_000,
        manifest["total_documents"],
        manifest["eod_tokens"],
    )
    assert [source.realised_tokens for source in report.sources] == [
        source["resolved_tokens"] for source in manifest["sources"]
    ]
    assert sum(source.documents for source in report.sources) == report.total_documents
    wiki = next(source for source in report.sources if source.name == "wiki")
    assert (wiki.epochs, wiki.share) == (2, percent_text(wiki.realised_tokens, 200_000, 6))
    assert json.loads(json.dumps(report.as_json()))["passed"] is True


def test_taking_apart_and_writing_again_changes_nothing(mix: Path) -> None:
    before = manifests.load(mix)
    forge(mix, lambda forged: None)
    assert manifests.load(mix) == before


def test_preview_of_another_size_passes(clean: Path, tmp_path: Path) -> None:
    report = audit_mix(
        build_mix(tmp_path / "mix", clean.parent / "store", "sample", Size(tokens=54_321)),
        full=True,
    )
    assert report.failures == []
    assert report.total_tokens == 54_321


def test_documents_that_share_an_order_key_are_not_taken_for_one_another(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_key(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        return np.zeros(len(digests), np.uint64)

    for module in (audit_of_mixes, table_columns):
        monkeypatch.setattr(module, "order_keys", one_key)
    assert "duplicates" not in failed(clean)


def test_progress_reaches_all_bytes_of_the_bin(clean: Path) -> None:
    seen: list[tuple[int, int]] = []
    audit_mix(clean, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (400_000, 400_000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_build_without_its_record_of_how_is_still_whole(mix: Path) -> None:
    (mix / "build.json").unlink()
    assert failed(mix) == set()


# ---- damaged files


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_one_changed_token_is_noticed_by_its_chunk(mix: Path) -> None:
    flip(mix / "tokens.bin", 70_001 * 2)
    report = audit_mix(mix)
    assert [check.name for check in report.failures] == ["chunk hashes"]
    assert "chunk 8 " in report.failures[0].detail


@pytest.mark.parametrize("num_bytes", [1, 2, 300_001, 399_999])
def test_truncated_bin_is_noticed(mix: Path, num_bytes: int) -> None:
    content = (mix / "tokens.bin").read_bytes()
    (mix / "tokens.bin").write_bytes(content[:-num_bytes])
    assert failed(mix) >= {"bin size", "chunk hashes", "idx"}


FILES = (
    "tokens.bin",
    "tokens.idx",
    "documents.parquet/part-00002.parquet",
    "provenance.parquet/part-00000.parquet",
)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_noticed(mix: Path, name: str) -> None:
    (mix / name).unlink()
    assert "files" in failed(mix)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 5000])
def test_file_of_rubbish_is_a_failed_check_and_no_traceback(
    mix: Path, name: str, content: bytes
) -> None:
    (mix / name).write_bytes(content)
    assert failed(mix, full=True)


def test_unreadable_documents_leave_the_bytes_judged(mix: Path) -> None:
    part(mix, "documents", 4).write_bytes(b"rubbish")
    report = audit_mix(mix)
    by_name = {check.name: check for check in report.checks}
    assert by_name["chunk hashes"].ok
    assert by_name["idx"].ok
    assert by_name["provenance hash"].ok
    assert not by_name["quotas"].ok
    assert by_name["quotas"].figure == "not checked"
    assert "part 4" in by_name["documents hash"].detail


def test_extra_file_is_noticed(mix: Path) -> None:
    (mix / "documents.parquet" / "part-00009.parquet").write_bytes(b"")
    assert failed(mix) == {"files"}


def test_extra_folder_is_noticed(mix: Path) -> None:
    (mix / "slices").mkdir()
    assert failed(mix) == {"files"}


def test_missing_part_fails_what_needs_documents_and_nothing_else(mix: Path) -> None:
    part(mix, "documents", 8).unlink()
    names = failed(mix)
    assert {"files", "table parts", "documents hash", "quotas"} <= names
    assert not names & {"chunk hashes", "idx", "idx hash", "EOD count", "provenance hash"}


def test_index_of_another_mix_is_noticed(mix: Path) -> None:
    other = take_apart(mix)
    other.documents.pop()
    folder = mix.parent / "other"
    shutil.copytree(mix, folder)
    other.folder = folder
    other.write()
    shutil.copy(folder / "tokens.idx", mix / "tokens.idx")
    assert failed(mix) >= {"idx hash", "idx", "documents and idx"}


def test_damaged_manifest_is_an_error_of_its_own(mix: Path) -> None:
    path = mix / manifests.MANIFEST
    path.write_text(path.read_text().replace('"total_tokens": 200000', '"total_tokens": 200001'))
    with pytest.raises(ManifestError, match="edited"):
        audit_mix(mix)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["layout"].update(chunk_tokens="many"),
        lambda manifest: manifest["layout"].update(slice_tokens=0),
        lambda manifest: manifest["hashes"].update(chunks=["xyz"]),
        lambda manifest: manifest["sources"][0].update(keys=["0", "../../etc"]),
        lambda manifest: manifest["sources"][0].update(resolved_tokens=-1),
        lambda manifest: manifest["sources"].append(manifest["sources"][0]),
        lambda manifest: manifest.update(total_tokens=1 << 70),
    ],
)
def test_crafted_manifest_is_refused(mix: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = manifests.load(mix)
    change(manifest)
    text = json.dumps({**manifest, "digest": manifests.digest(manifest)})
    (mix / manifests.MANIFEST).write_text(text)
    with pytest.raises(ManifestError):
        audit_mix(mix)


def test_a_recipe_that_does_not_say_what_special_tokens_are_is_no_recipe(mix: Path) -> None:
    forge_manifest(mix, lambda manifest: manifest["recipe"].pop("special_tokens"))
    assert {"recipe", "asked quotas", "shortfalls"} <= failed(mix)
    with pytest.raises(ManifestError, match="special_tokens"):
        require_recipe(read_claims(mix), "m")


def test_huge_claims_allocate_nothing(mix: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["layout"].update(chunk_tokens=1, slice_tokens=1)
        manifest["total_tokens"] = manifest["total_documents"] = (1 << 52) - 1

    forge_manifest(mix, change)
    assert {"files", "bin size", "chunk hashes", "quotas", "documents and idx"} <= failed(mix)


FLIPPED = ["tokens.bin", "tokens.idx", "manifest.json"]


@settings(max_examples=30)
@given(
    name=st.sampled_from(FLIPPED), share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7)
)
def test_no_changed_bit_of_stream_index_or_manifest_passes(
    spare: Path, name: str, share: float, bit: int
) -> None:
    path = spare / name
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[int(share * len(content))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        assert not audit_mix(spare).passed
    except ManifestError:
        assert name == "manifest.json"
    finally:
        path.write_bytes(content)


@settings(max_examples=40)
@given(
    table=st.sampled_from(["documents", "provenance"]),
    share=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_changed_bit_of_a_table_changes_what_it_says_or_nothing(
    spare: Path, table: str, share: float, bit: int
) -> None:
    """Parquet has bytes that say nothing of the values; a table that passes says what it said, and
    no damage ends in a traceback.
    """
    path, schema = part(spare, table, 3), {"documents": DOCUMENTS, "provenance": PROVENANCE}[table]
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[int(share * len(content))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        if audit_mix(spare).passed:
            assert (
                part_hash(schema, read_part(path, schema, 200_000))
                == manifests.load(spare)["hashes"][f"{table}_parts"][3]
            )
    finally:
        path.write_bytes(content)


# ---- forged manifests: every hash recomputed


def edit_chunk(manifest: dict[str, Any]) -> None:
    manifest["hashes"]["chunks"][3] = "0" * 64


def move_count(field: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        sources = {source["name"]: source for source in manifest["sources"]}
        sources["flan"][field] += 1
        sources["dclm"][field] -= 1

    return change


def move_all_counts(manifest: dict[str, Any]) -> None:
    for field in ("asked_tokens", "resolved_tokens", "realised_tokens"):
        move_count(field)(manifest)


def edit_source(name: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: next(
        source for source in manifest["sources"] if source["name"] == name
    ).update(values)


def edit_removed(source: str, reason: str, by: int) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["removed"][source][reason] += by

    return change


def move_removed(manifest: dict[str, Any]) -> None:
    edit_removed("flan", "kept", 1)(manifest)
    edit_removed("flan", "beyond quota", -1)(manifest)


def edit_cut(name: str, field: str, by: int) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        next(source for source in manifest["sources"] if source["name"] == name)["cut"][field] += by

    return change


def edit_weight(manifest: dict[str, Any]) -> None:
    next(source for source in manifest["recipe"]["sources"] if source["name"] == "flan")[
        "weight"
    ] = "17"


def edit_bound(manifest: dict[str, Any]) -> None:
    manifest["sources"][-1]["deviation"]["measured_tokens"] -= 1


def take_repeat_away(manifest: dict[str, Any]) -> None:
    next(source for source in manifest["recipe"]["sources"] if source["name"] == "wiki")[
        "shortfall"
    ] = "error"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (edit_chunk, {"manifest", "chunk hashes"}),
        (move_count("realised_tokens"), {"quotas"}),
        (move_count("documents"), {"quotas"}),
        (move_count("asked_tokens"), {"asked quotas", "shortfalls"}),
        (edit_source("wiki", epochs=3), {"epochs", "shortfalls"}),
        (edit_source("dclm", keys=["0", "fd70a3d70a3d70a4"]), {"recipe"}),
        (edit_source("flan", keys=["0", "8000000000000000"]), {"recipe", "key ranges"}),
        (edit_source("flan", definition="dolmino-wiki"), {"recipe", "provenance"}),
        (edit_source("camel-biology", refilled={}), {"shortfalls"}),
        (edit_source("camel-biology", refilled={"flan": 383}), {"shortfalls"}),
        (edit_source("pes2o", longest_tokens=1), {"prefix bound"}),
        (edit_bound, {"prefix bound"}),
        (edit_cut("pes2o", "kept_tokens", 1), {"cuts"}),
        (edit_cut("pes2o", "document", -1), {"cuts"}),
        (edit_cut("wiki", "num_tokens", 1), {"epochs"}),
        (edit_source("pes2o", cut=None), {"cuts"}),
        (edit_removed("flan", "kept", 1), {"removals"}),
        (edit_removed("flan", "empty", 1), {"removals"}),
        (move_removed, {"removals"}),
        (edit_weight, {"recipe", "asked quotas"}),
        (take_repeat_away, {"recipe", "shortfalls"}),
        (lambda manifest: manifest.update(eod_tokens=manifest["eod_tokens"] - 1), {"EOD count"}),
        (lambda manifest: manifest["tokenizer"].update(vocab_size=1000), {"token ids", "recipe"}),
        (
            lambda manifest: manifest["tokenizer"].update(eod_id=7),
            {"document ends", "EOD count", "recipe"},
        ),
        (lambda manifest: manifest["tokenizer"].update(special_tokens="parse"), {"recipe"}),
        (lambda manifest: manifest.update(name="another"), {"recipe"}),
        (lambda manifest: manifest.update(excluded=[]), {"recipe"}),
        (lambda manifest: manifest["inputs"]["dolmino-flan"].pop(), {"provenance"}),
        (lambda manifest: manifest.update(recipe={}), {"recipe", "asked quotas", "shortfalls"}),
        (
            lambda manifest: manifest["layout"].update(token_dtype="int32"),
            {"bin size", "chunk hashes", "idx", "document ends", "EOD count", "token ids"},
        ),
    ],
)
def test_forged_manifest_fails_in_the_check_that_recounts_it(
    mix: Path, change: Callable[[dict[str, Any]], None], names: set[str]
) -> None:
    forge_manifest(mix, change)
    assert failed(mix) == names


def test_quota_moved_between_sources_in_every_count_is_noticed(mix: Path) -> None:
    forge_manifest(mix, move_all_counts)
    assert failed(mix) >= {"quotas", "asked quotas", "prefix bound"}


@pytest.mark.parametrize("name", ["identity", "mix_id"])
def test_identity_that_its_hashes_do_not_give_is_noticed(mix: Path, name: str) -> None:
    manifest = {**manifests.load(mix), name: "0" * 64}
    (mix / manifests.MANIFEST).write_bytes(
        manifests.dump({**manifest, "digest": manifests.digest(manifest)})
    )
    assert failed(mix) == {"manifest"}


# ---- forged documents: tokens, .idx, tables and every hash rewritten


def swap_neighbours_of_one_source(mix: ForgedMix) -> None:
    dclm = mix.of("dclm")
    mix.swap(dclm[100], dclm[101])


def swap_with_another_source(mix: ForgedMix) -> None:
    first = next(
        at for at in range(500, 1000) if mix.documents[at].source != mix.documents[at + 1].source
    )
    mix.documents[first], mix.documents[first + 1] = mix.documents[first + 1], mix.documents[first]


def relabel(mix: ForgedMix) -> None:
    mix.of("flan")[300].source = "pes2o"


def exchange_labels(mix: ForgedMix) -> None:
    """Two documents of equal length change their labels: every count stays as it was."""
    lengths = {len(item.tokens): item for item in mix.of("flan")[50:550]}
    other = next(
        item for item in mix.of("pes2o")[100:] if len(item.tokens) in lengths and not item.cut
    )
    own = lengths[len(other.tokens)]
    own.source, other.source = other.source, own.source


def replace_with_copy(mix: ForgedMix) -> None:
    """A document is written twice, in place of one of equal length of the same source."""
    flan, seen = mix.of("flan"), dict[int, Document]()
    for item in flan[100:-1]:
        if (first := seen.setdefault(len(item.tokens), item)) is not item:
            item.tokens, item.digest, item.file, item.row = (
                first.tokens,
                first.digest,
                first.file,
                first.row,
            )
            return


def copy_across_sources(mix: ForgedMix) -> None:
    mix.of("flan")[300].digest = mix.of("pes2o")[100].digest


def replace_digest(mix: ForgedMix) -> None:
    mix.of("dclm")[250].digest = bytes(16)


def first_to_second_epoch(mix: ForgedMix) -> None:
    mix.of("flan")[300].epoch = 1


def second_to_first_epoch(mix: ForgedMix) -> None:
    next(item for item in mix.of("wiki") if item.epoch == 1).epoch = 0


def second_epoch_of_other_documents(mix: ForgedMix) -> None:
    repeated = [item for item in mix.of("wiki") if item.epoch == 1]
    repeated[5].digest = repeated[6].digest


def second_epoch_with_other_tokens(mix: ForgedMix) -> None:
    repeated = next(item for item in mix.of("wiki") if item.epoch == 1)
    repeated.tokens = repeated.tokens.copy()
    repeated.tokens[0] ^= 1


def move_cut(mix: ForgedMix) -> None:
    mix.of("pes2o")[-1].cut, mix.of("pes2o")[-2].cut = False, True


def two_cuts(mix: ForgedMix) -> None:
    mix.of("pes2o")[5].cut = True


def mark_copy(mix: ForgedMix) -> None:
    mix.of("pes2o")[5].copy = 1


def open_end(mix: ForgedMix) -> None:
    mix.documents[700].tokens[-1] = 5


def inner_eod(mix: ForgedMix) -> None:
    mix.documents[700].tokens[0] = 0


def large_id(mix: ForgedMix) -> None:
    mix.documents[700].tokens[0] = 2000


def drop_document(mix: ForgedMix) -> None:
    mix.documents.remove(mix.of("flan")[300])


def strange_file(mix: ForgedMix) -> None:
    mix.of("flan")[300].file = "pes2o-0000.json.gz"


def unknown_source(mix: ForgedMix) -> None:
    mix.of("flan")[300].source = "another"


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (swap_neighbours_of_one_source, {"key order"}),
        (swap_with_another_source, {"stream order"}),
        (relabel, {"quotas", "key order", "provenance"}),
        (exchange_labels, {"key order", "provenance"}),
        (replace_with_copy, {"key order", "duplicates"}),
        (copy_across_sources, {"duplicates"}),
        (replace_digest, {"key order"}),
        (first_to_second_epoch, {"epochs"}),
        (second_to_first_epoch, {"epochs", "removals"}),
        (second_epoch_of_other_documents, {"epochs", "key order"}),
        (move_cut, {"cuts"}),
        (two_cuts, {"cuts"}),
        (mark_copy, {"duplicates"}),
        (open_end, {"document ends", "EOD count"}),
        (inner_eod, {"EOD count"}),
        (large_id, {"token ids"}),
        (drop_document, {"quotas", "bin size", "documents and idx", "EOD count"}),
        (strange_file, {"provenance"}),
        (unknown_source, {"documents and idx", "quotas"}),
    ],
)
def test_forged_documents_fail_in_the_check_that_is_there_for_them(
    mix: Path, change: Callable[[ForgedMix], None], noticed: set[str]
) -> None:
    forge(mix, change)
    names = failed(mix)
    assert noticed <= names
    assert not names & {
        "manifest",
        "files",
        "idx hash",
        "idx",
        "chunk hashes",
        "documents hash",
        "provenance hash",
    }


def swapped_within_a_part(mix: ForgedMix) -> Document:
    flan = mix.of("flan")
    mix.swap(flan[40], flan[41])
    return flan[40]


def swapped_over_the_edge_of_a_part(mix: ForgedMix) -> Document:
    def part_of(document: Document) -> int:
        before = next(at for at, item in enumerate(mix.documents) if item is document)
        tokens = sum(len(item.tokens) for item in mix.documents[:before])
        return tokens // int(mix.manifest["layout"]["slice_tokens"])

    for early, late in pairwise(mix.of("flan")):
        if part_of(early) != part_of(late):
            mix.swap(early, late)
            if part_of(early) != part_of(late):
                return early
            mix.swap(late, early)
    raise AssertionError("no two neighbours lie in two parts")


def in_the_epoch_after_next(mix: ForgedMix) -> Document:
    mix.of("flan")[300].epoch = 2
    return mix.of("flan")[300]


def another_in_the_second_epoch(mix: ForgedMix) -> Document:
    second_epoch_of_other_documents(mix)
    return [item for item in mix.of("wiki") if item.epoch == 1][5]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (swapped_within_a_part, "key order"),
        (swapped_over_the_edge_of_a_part, "key order"),
        (in_the_epoch_after_next, "epochs"),
        (another_in_the_second_epoch, "epochs"),
    ],
)
def test_a_document_at_fault_is_named_by_its_place(
    mix: Path, change: Callable[[ForgedMix], Document], name: str
) -> None:
    places: list[int] = []

    def changed(forged: ForgedMix) -> None:
        fault = change(forged)
        places.extend(at for at, item in enumerate(forged.documents) if item is fault)

    forge(mix, changed)
    (check,) = (check for check in audit_mix(mix).failures if check.name == name)
    assert check.detail.startswith(f"document {places[0]:,} of ")


def test_repeated_document_with_other_tokens_needs_the_full_audit(mix: Path) -> None:
    forge(mix, second_epoch_with_other_tokens)
    assert failed(mix) == set()
    assert failed(mix, full=True) == {"repeated tokens"}


def test_row_of_provenance_out_of_place_is_noticed(mix: Path) -> None:
    shutil.copy(part(mix, "provenance", 1), part(mix, "provenance", 2))
    assert failed(mix) >= {"provenance hash", "provenance"}


def test_documents_in_the_part_of_another_slice_are_noticed(mix: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["layout"]["slice_tokens"] += 300

    forge_manifest(mix, change)
    assert failed(mix) == {"documents and idx"}


def parse_special_strings(mix: ForgedMix) -> None:
    mix.manifest["tokenizer"]["special_tokens"] = mix.manifest["recipe"]["special_tokens"] = "parse"
    mix.manifest["recipe_digest"] = json_digest(mix.manifest["recipe"])
    inner_eod(mix)


def test_eod_inside_a_document_is_allowed_where_special_strings_are_parsed_and_counted(
    mix: Path,
) -> None:
    forge(mix, parse_special_strings)
    assert failed(mix) == {"EOD count"}
    forge_manifest(mix, lambda manifest: manifest.update(eod_tokens=manifest["eod_tokens"] + 1))
    assert failed(mix) == set()


# ---- quotas of other recipes


WHOLE = """
name: whole
budget: {tokens: 40_000}
tokenizer: sample
max_quarantined: 0.02
sources:
  wiki: {use: dolmino-wiki, all: true}
  flan: {use: dolmino-flan, weight: 2, keys: [0, 0.9]}
  pes2o: {use: dolmino-pes2o, weight: 1}
"""


@pytest.mark.parametrize(
    "size", [Size(), Size(scale=Fraction(1, 3)), Size(schedule=Schedule(7, 8, 128))]
)
def test_mix_with_a_source_used_whole_passes_and_its_quotas_are_held(
    clean: Path, sample_data: Path, tmp_path: Path, size: Size
) -> None:
    (tmp_path / "whole.yaml").write_text(WHOLE)
    folder = build_mix(
        tmp_path / "mix", clean.parent / "store", str(tmp_path / "whole.yaml"), size, sample_data
    )
    assert failed(folder, full=True) == set()
    forge_manifest(
        folder,
        lambda manifest: manifest["sources"][1].update(
            asked_tokens=manifest["sources"][1]["asked_tokens"] + 1
        ),
    )
    assert failed(folder) == {"asked quotas", "shortfalls"}


def test_trainer_fit_follows_a_budget_in_steps_of_a_mix_of_full_size(clean: Path) -> None:
    manifest = manifests.load(clean)
    steps = {
        **manifest,
        "size": {},
        "recipe": {"budget": {"steps": 11_921, "batch": 2048, "sequence": 2048, "trainer": "neox"}},
    }
    fit = typed(steps, "steps").fit(50_000_000_000)
    assert fit is not None
    assert (fit.steps, fit.inferred, fit.meant_for) == (11_921, False, "gpt-neox")
    assert any("300,033 short" in warning for warning in fit.warnings)
    own = Size(schedule=Schedule(10, 4, 512, "megatron"))
    asked = typed({**steps, "size": own.as_json()}, "steps of its own")
    assert asked.size.size == own
    fit = asked.fit(20_481)
    assert fit is not None
    assert (fit.steps, fit.batch, fit.sequence, fit.meant_for) == (10, 4, 512, "megatron-core")
    assert fit.warnings == ()
    preview = typed({**steps, "size": {"tokens": "1000000"}}, "preview").fit(1_000_000)
    assert preview is not None
    assert preview.inferred
    assert typed(manifest, "whole").fit(0) is None


def test_trainer_fit_takes_nothing_of_a_budget_that_is_no_budget(clean: Path) -> None:
    for budget in (
        ["steps"],
        "steps",
        {"steps": "11921", "batch": 2048, "sequence": 2048},
        {"steps": 0, "batch": 0, "sequence": 0, "trainer": "neox"},
        {"steps": 10, "batch": 8, "sequence": 8, "trainer": "none"},
    ):
        manifest = {**manifests.load(clean), "recipe": {"budget": budget}}
        fit = typed(manifest, str(budget)).fit(50_000_000_000)
        assert fit is not None
        assert (fit.batch, fit.sequence, fit.inferred) == (2048, 2048, True)


# ---- the pass over the bytes


@given(
    documents=st.lists(
        st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=30
    ),
    chunk_tokens=st.integers(1, 40),
    block_tokens=st.integers(1, 20),
    dtype=st.sampled_from(["<u2", "<u4"]),
)
def test_counts_of_a_stream_are_those_of_lists(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[list[int]],
    chunk_tokens: int,
    block_tokens: int,
    dtype: str,
) -> None:
    tokens = np.array([token for document in documents for token in document], dtype)
    path = tmp_path_factory.mktemp("stream") / "tokens.bin"
    path.write_bytes(tokens.tobytes())
    lengths = np.array([len(document) for document in documents])
    pointers = (np.cumsum(lengths) - lengths) * tokens.itemsize
    stream = Stream(
        path,
        tokens.dtype,
        len(tokens),
        chunk_tokens,
        eod_id=0,
        vocab_size=8,
        pointers=pointers,
        list_ends=True,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mixtures.audit.stream.BLOCK_BYTES", block_tokens * tokens.itemsize)
        counted = count_stream(stream)
    ends, flat = np.cumsum(lengths) - 1, tokens.tolist()
    assert counted.hashes == [
        blake3(tokens[low : low + chunk_tokens].tobytes()).hexdigest()
        for low in range(0, len(tokens), chunk_tokens)
    ]
    assert (counted.eod_tokens, counted.max_id) == (flat.count(0), max(flat))
    assert (counted.ends, counted.eod_ends) == (
        len(documents),
        sum(document[-1] == 0 for document in documents),
    )
    assert counted.first_open == next((end for end in ends if flat[end] != 0), None)
    assert counted.first_bad == next((at for at, token in enumerate(flat) if token >= 8), None)
    assert counted.last_ids == Counter(document[-1] for document in documents)


# ---- a pair without a manifest


def test_bare_pair_is_described(clean: Path) -> None:
    report = audit_bare(clean / "tokens")
    assert report.passed
    assert (report.total_tokens, report.total_documents, report.eod_tokens) == (
        200_000,
        audit_mix(clean).total_documents,
        report.total_documents,
    )
    assert report.identity == ""
    assert report.fit is not None
    assert audit_bare(clean / "tokens.bin") == report


def test_bare_pair_without_a_common_last_id_has_no_eod(mix: Path) -> None:
    forge(mix, open_end)
    assert [check.name for check in audit_bare(mix / "tokens").failures] == ["EOD"]


def test_bare_pair_that_is_cut_off_fails(mix: Path) -> None:
    with (mix / "tokens.idx").open("r+b") as file:
        file.truncate(1000)
    report = audit_bare(mix / "tokens")
    assert {check.name for check in report.failures} == {"idx", "documents", "token ids", "EOD"}


def test_bare_prefix_of_nothing_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="neither a mix folder nor the prefix"):
        audit_bare(tmp_path / "nothing")


def test_pointers_are_checked_across_blocks(
    clean: Path, monkeypatch: pytest.MonkeyPatch, mix: Path
) -> None:
    monkeypatch.setattr("mixtures.audit.pair.BLOCK_DOCUMENTS", 7)
    pair, faults = try_open(clean / "tokens.bin", clean / "tokens.idx")
    assert pair is not None
    assert (faults, pointer_faults(pair)) == ([], [])
    num_documents = len(pair.sizes)
    for at, what in (
        (34 + 4 * 1000, "byte pointer of document 1,001"),
        (34 + 12 * num_documents + 8 * 900, "document index goes from"),
    ):
        shutil.copy(clean / "tokens.idx", mix / "tokens.idx")
        flip(mix / "tokens.idx", at)
        damaged, _ = try_open(mix / "tokens.bin", mix / "tokens.idx")
        assert damaged is not None
        assert any(what in fault for fault in pointer_faults(damaged))


# ---- how it is told


def test_percent_text_is_exact() -> None:
    assert percent_text(1, 3, 4) == "33.3333"
    assert percent_text(10**15 - 1, 10**15, 4) == "100.0000"
    assert percent_text(24_999_999_999, 50_000_000_000, 6) == "50.000000"
    assert percent_text(9_996_002, 50_000_000_000, 4) == "0.0200"
    assert percent_text(0, 0, 4) == "-"
    assert [percent_text(part, 2_887, 2) for part in (-1, -75, 75)] == ["-0.03", "-2.60", "2.60"]
    assert percent_text(-1, 10**9, 2) == "0.00"


def test_tables_show_every_source_and_check(
    clean: Path, mix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forge_manifest(mix, move_count("documents"))
    biology = audit_mix(clean).sources[0]
    assert biology.refilled
    told = (
        biology.name,
        f"{biology.asked_tokens:,}",
        f"{float(biology.share):.4f}%",
        f"{biology.refilled['dclm']:,} tokens short",
        "key order",
    )
    for folder, words in (
        (clean, ("audit passed: 26 checks",)),
        (mix, ("audit FAILED: 1 of 26 checks: quotas", "FAILED quotas: flan")),
    ):
        audit_report.show(MixAudit(audit_mix(folder)))
        printed = capsys.readouterr()
        for word in (*told, *words):
            assert word in printed.out + printed.err


def test_report_of_a_bare_pair_is_shown(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit_report.show(MixAudit(audit_bare(clean / "tokens")))
    assert "audit passed: 4 checks" in capsys.readouterr().out
