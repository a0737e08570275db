"""A mix is decided by its documents and its recipe alone.

Not by workers, tasks, file names, file order, formats, groups, segments, partitions, hash seed,
time zone or locale, nor by what the store held before.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.mix.manifest import Manifest
from mixtures.recipe.load import load_tokenizer_definition
from pipeline.build.sources import needs
from pipeline.executors import pool
from pipeline.inputs import survey
from pipeline.inputs.readers.blank import is_blank
from pipeline.stages import ingest, select
from pipeline.tokens.find import likely_file
from tests.pipeline.corpus import (
    LAYOUT,
    SUFFIXES,
    contents,
    make,
    nfc,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)

A, B, C = prose(11, 90), prose(12, 160), prose(13, 40)
TEXTS = {
    "a": [*A, A[3], A[3], "", "x"],
    "b": [*B, A[5], B[7], "", "x", "Cafe\u0301 \u5ddd", "river " * 2000],
    "c": [*C, A[5], A[6], B[8], "y"],
}
SOURCES: dict[str, dict[str, Any]] = {
    "a": {"tokens": 900},
    "b": {"weight": 1, "keys": [0, 0.9]},
    "c": {"weight": 1, "shortfall": {"repeat": 3}},
}
BUDGET = {"tokens": 6001}


def shards(files: int = 2) -> dict[str, dict[str, list[str]]]:
    return {name: sharded(texts, files) for name, texts in TEXTS.items()}


def mix(
    folder: Path,
    files: dict[str, dict[str, list[str]]] | None = None,
    packings: dict[str, str] | None = None,
    **more: Any,
) -> tuple[Manifest, dict[str, bytes]]:
    """Write the corpus, build the mix, return its manifest and its bytes."""
    for name, content in (files or shards()).items():
        write_files(folder / "data", name, content, (packings or {}).get(name, "jsonl.gz"))
    recipe = write_recipe(folder / "recipes", SOURCES, packings, budget=BUDGET)
    return make(recipe, folder, folder / "data", **more), contents(folder / "out")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """Identity and bytes of the mix from two files a source, built by one process."""
    manifest, content = mix(tmp_path_factory.mktemp("reference"))
    assert manifest["total_tokens"] == 6001
    assert {source["epochs"] for source in manifest["sources"]} == {1, 2}
    assert len(manifest["hashes"]["documents_parts"]) > 4
    return manifest["identity"], content


def equal(
    built: tuple[Manifest, dict[str, bytes]], reference: tuple[str, dict[str, bytes]]
) -> None:
    assert built[1]["tokens.idx"] == reference[1]["tokens.idx"]
    assert built[1]["tokens.bin"] == reference[1]["tokens.bin"]
    assert built[0]["identity"] == reference[0]


def test_a_builder_that_asks_a_worker_loads_no_tokenizer(tmp_path, monkeypatch):
    for name, content in shards().items():
        write_files(tmp_path / "data", name, content)
    recipe = write_recipe(tmp_path / "recipes", {name: {"all": True} for name in TEXTS})
    alone = make(recipe, tmp_path, tmp_path / "data", "alone", "other")
    monkeypatch.setattr(pool, "served", {likely_file(load_tokenizer_definition("sample"))})
    monkeypatch.setattr(ingest, "loaded_tokenizer", lambda *_, **__: pytest.fail("it is loaded"))
    assert make(recipe, tmp_path, tmp_path / "data", workers=2)["identity"] == alone["identity"]


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file its own group, segments of some 3,000 bytes, many key partitions. All of it
    reaches workers through the plans.
    """
    monkeypatch.setattr(survey, "GROUP_BYTES", (1, 1))
    monkeypatch.setattr(needs, "SEGMENT_BYTES", 3000)
    monkeypatch.setattr(select, "PARTITION_DOCUMENTS", 40)


@pytest.mark.parametrize("tasks", [2, 3, 13])
def test_the_number_of_tasks_decides_nothing(tmp_path, reference, in_pieces, tasks):
    equal(mix(tmp_path, shards(5), tasks=tasks), reference)


@pytest.mark.parametrize("workers", [2, pytest.param(5, marks=pytest.mark.campaign)])
def test_the_number_of_workers_decides_nothing(tmp_path, reference, in_pieces, workers):
    equal(mix(tmp_path, shards(4), workers=workers, tasks=2 * workers - 1), reference)


def test_pieces_are_really_many(tmp_path, reference, in_pieces):
    equal(mix(tmp_path, shards(6)), reference)
    groups = list(tmp_path.glob("store/sources/b-*/*/ledger"))
    assert len(groups) == 6
    assert all((group / "0001.order_key").exists() for group in groups)
    assert len(list(tmp_path.glob("store/select/*/p*"))) >= 4


@pytest.mark.parametrize("packing", list(SUFFIXES))
def test_neither_format_nor_number_of_files_decides_anything(tmp_path, reference, packing):
    files = {"jsonl": 1, "jsonl.gz": 3, "jsonl.zst": 8, "parquet": 5}[packing]
    equal(mix(tmp_path, shards(files), dict.fromkeys(TEXTS, packing)), reference)


@pytest.mark.parametrize("seed", range(2))
def test_rows_may_stand_in_any_order_in_files_of_any_name(tmp_path, reference, in_pieces, seed):
    draw = random.Random(seed)
    files = {}
    for name, texts in TEXTS.items():
        names = [
            f"{draw.choice('zyxab')}/{draw.getrandbits(30):x}" for _ in range(draw.randint(1, 6))
        ]
        files[name] = {
            stem: texts_of
            for stem, texts_of in zip(names, dealt(draw, texts, len(names)), strict=True)
            if texts_of
        }
    equal(mix(tmp_path, files, {"b": "parquet", "c": "jsonl.zst"}), reference)


def dealt(draw: random.Random, texts: list[str], files: int) -> list[list[str]]:
    shuffled = draw.sample(texts, len(texts))
    return [shuffled[number::files] for number in range(files)]


@pytest.mark.parametrize(
    ("chunk_bytes", "slice_chunks"), [(64 << 20, 8), (512, 1), (6002, 3), (2, 4000)]
)
def test_other_chunks_change_their_hashes_and_no_byte(
    tmp_path, reference, chunk_bytes, slice_chunks
):
    manifest, content = mix(tmp_path, chunk_bytes=chunk_bytes, slice_chunks=slice_chunks)
    assert content == reference[1]
    assert len(manifest["hashes"]["chunks"]) == -(-2 * 6001 // chunk_bytes)
    assert sum(document.num_tokens for document in read_mix(tmp_path / "out")) == 6001


def test_a_store_that_grew_in_steps_gives_the_mix_of_one_built_at_once(
    tmp_path, reference, in_pieces
):
    recipe = write_recipe(tmp_path / "recipes", SOURCES, budget=BUDGET)
    for name, files in shards().items():
        write_files(tmp_path / "data", name, files)
    for step, scale in enumerate((Fraction(1, 100), Fraction(1, 10), Fraction(1, 2))):
        make(recipe, tmp_path, tmp_path / "data", f"step{step}", scale=scale)
    ranges = {path.name for path in tmp_path.glob("store/sources/b-*/*/tokens-*")}
    equal(mix(tmp_path), reference)
    assert len(ranges) > 1, "the ceiling was never raised, so nothing was proven"


def test_a_store_that_holds_a_larger_mix_gives_the_small_one_of_a_fresh_store(tmp_path):
    recipe = write_recipe(tmp_path / "recipes", SOURCES, budget=BUDGET)
    for name, files in shards().items():
        write_files(tmp_path / "data", name, files)
    make(recipe, tmp_path, tmp_path / "data", "large")
    small = make(recipe, tmp_path, tmp_path / "data", "small", tokens=700)
    fresh = make(recipe, tmp_path, tmp_path / "data", "fresh", "fresh-store", tokens=700)
    assert small == fresh
    assert contents(tmp_path / "small") == contents(tmp_path / "fresh")


def test_files_that_came_one_by_one_give_the_mix_of_all_at_once(tmp_path, reference, in_pieces):
    files = shards(4)
    recipe = write_recipe(
        tmp_path / "recipes", {name: {"tokens": 20} for name in SOURCES}, name="early"
    )
    for count in (1, 3):
        for name, content in files.items():
            write_files(tmp_path / "data", name, dict(list(content.items())[:count]))
        make(recipe, tmp_path, tmp_path / "data", f"early{count}")
    equal(mix(tmp_path, files), reference)


SCRIPT = """
import json, sys
from pathlib import Path
from tests.pipeline.corpus import make
if __name__ == "__main__":
    work = Path(sys.argv[1])
    out, store = sys.argv[2], sys.argv[2] + "-store"
    print(json.dumps(make(work / "recipes" / "mix.yaml", work, work / "data", out, store)))
"""


def test_hash_seed_time_zone_and_locale_decide_nothing(tmp_path, reference):
    write_recipe(tmp_path / "recipes", SOURCES, budget=BUDGET)
    for name, files in shards().items():
        write_files(tmp_path / "data", name, files)
    manifests = []
    for out, surroundings in {
        "one": {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"},
        "two": {
            "PYTHONHASHSEED": "1",
            "TZ": "Asia/Kathmandu",
            "LC_ALL": "C.UTF-8",
            "PYTHONUTF8": "0",
        },
    }.items():
        root = Path(__file__).resolve().parents[3]
        environment = {**os.environ, **surroundings, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), out]
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        manifests.append(json.loads(done.stdout))
        equal((manifests[-1], contents(tmp_path / out)), reference)
    assert manifests[0] == manifests[1]


TEXT = st.one_of(
    st.sampled_from(
        [
            "",
            "x",
            "same text",
            "same text ",
            "\u00e9",
            "e\u0301",
            "<|endoftext|>",
            "\0",
            " ",
            "\n",
            "giant " * 700,
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
CORPUS = st.lists(TEXT, min_size=1, max_size=25).filter(lambda texts: not all(map(is_blank, texts)))


def each_with_a_document(rows: list[str], count: int) -> list[list[str]]:
    """Rows dealt to files; a file that would be blank throughout, which is an error, joins one."""
    dealt = [rows[number::count] for number in range(count)]
    whole = [texts for texts in dealt if not all(map(is_blank, texts))]
    for texts in dealt:
        if all(map(is_blank, texts)):
            whole[0].extend(texts)
    return whole


def documents_of(rows: Iterable[str]) -> set[str]:
    """The distinct texts that are documents, in the form that the tokenizer gives them."""
    return {nfc(text) for text in rows if not is_blank(text)}


@st.composite
def builds(draw):
    """Two sources that share texts, and two ways of laying the same rows out."""
    texts = {"a": draw(CORPUS), "b": draw(CORPUS)}
    texts["b"] += draw(st.lists(st.sampled_from(texts["a"]), max_size=5))
    layouts = []
    for _ in range(2):
        files: dict[str, dict[str, list[str]]] = {}
        for name, rows in texts.items():
            count = draw(st.integers(1, min(4, len(rows))))
            shuffled = draw(st.permutations(rows))
            files[name] = {
                f"{draw(st.integers(0, 99)):02d}-{number}": dealt
                for number, dealt in enumerate(each_with_a_document(shuffled, count))
            }
        layouts.append(
            (
                files,
                draw(st.sampled_from(sorted(SUFFIXES))),
                draw(st.integers(1, 6)),
                draw(st.integers(1, 400)),
            )
        )
    return layouts, draw(st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(9, 10)]))


def whole_mix(
    layout: tuple[dict[str, dict[str, list[str]]], str, int, int], scale: Fraction
) -> tuple[str, dict[str, bytes], list[str]]:
    files, packing, tasks, segment_bytes = layout
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "GROUP_BYTES", (1, 1))
        patch.setattr(needs, "SEGMENT_BYTES", segment_bytes)
        patch.setattr(select, "PARTITION_DOCUMENTS", 4)
        folder = Path(name)
        for source, content in files.items():
            write_files(folder / "data", source, content, packing)
        recipe = write_recipe(
            folder / "recipes",
            {"a": {"all": True}, "b": {"all": True}},
            dict.fromkeys("ab", packing),
        )
        manifest = make(recipe, folder, folder / "data", tasks=tasks, scale=scale)
        return (
            manifest["identity"],
            contents(folder / "out"),
            [document.digest for document in read_mix(folder / "out")],
        )


def check_placement(drawn: Any) -> None:
    layouts, scale = drawn
    rows = {
        source: [text for texts in files.values() for text in texts]
        for source, files in layouts[0][0].items()
    }
    if documents_of(rows["b"]) <= documents_of(rows["a"]):
        scale = Fraction(1)  # a source without a document of its own cannot be scaled below a token
    one, two = (whole_mix(layout, scale) for layout in layouts)
    assert one == two
    if scale == 1:
        assert len(one[2]) == len(documents_of(rows["a"] + rows["b"]))


@settings(max_examples=6)
@given(builds())
def test_any_corpus_gives_one_mix_however_it_is_laid_out(drawn):
    check_placement(drawn)


@pytest.mark.campaign
@settings(max_examples=400)
@given(builds())
def test_very_many_corpora_give_one_mix_however_they_are_laid_out(drawn):
    check_placement(drawn)


def test_the_layout_of_these_tests_makes_several_slices():
    assert LAYOUT["chunk_bytes"] * LAYOUT["slice_chunks"] < 2 * BUDGET["tokens"] / 4
