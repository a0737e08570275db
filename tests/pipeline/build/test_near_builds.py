"""Near-duplicates in builds: who gives way to whom, whatever the tasks and files; what is damaged,
resumed or asked later.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixtures.audit import audit_mix
from mixtures.audit.judged.near import check_near
from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.keys import order_key, text_digest
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Claims, typed
from mixtures.mix.judged.near import ClusterClaim, NearClaim
from mixtures.rules.near import NearRule
from pipeline.build import near as search
from pipeline.build.sources import needs
from pipeline.build.sources import sources as build_sources
from pipeline.commands.store import store as store_commands
from pipeline.inputs import survey
from pipeline.inputs.file import InputFile
from pipeline.stages import select
from pipeline.store.records import read_done
from tests.mixtures.rules.naive import band_keys_naive, shingle_set_naive
from tests.pipeline.corpus import (
    contents,
    each_once,
    make,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)

ROOT = Path(__file__).resolve().parents[3]
RULE = {"unit": "words", "shingle": 2, "bands": 3, "rows": 2}
SHORT = NearRule.model_validate(RULE)
ALL: dict[str, dict[str, Any]] = {name: {"all": "true"} for name in ("a", "b", "c")}


def words(draw: random.Random, count: int) -> list[str]:
    return [
        "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 8)))
        for _ in range(count)
    ]


def planted() -> dict[str, list[str]]:
    """Sources with near-copies inside of them and across, exact copies of those, a chain, and
    documents that are too short.
    """
    draw = random.Random(7)
    texts: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    for number in range(24):
        document = words(draw, 80)
        names = list(itertools.islice(itertools.cycle("abc"), number % 3, number % 3 + 3))
        texts[names[0]].append(" ".join(document))
        if number % 2:
            texts[names[1]].append(" ".join(document).upper().replace(" ", ",\u00a0"))
            texts[names[0]].append(" ".join([*document[:40], "changed", *document[41:]]))
        if number % 4 == 3:
            texts[names[2]].append(
                " ".join(document)
            )  # an exact copy of a document that has near-copies
    chain = words(draw, 410)
    for step, name in enumerate("cbaccbac"):
        texts[name].append(" ".join(chain[30 * step : 30 * step + 200]))
    for name in texts:
        texts[name] += [*(["one", "two", "three"]), *(" ".join(words(draw, 30)) for _ in range(10))]
    return texts


TEXTS = planted()


def digest(text: str) -> str:
    return text_digest(text).hex()


def clusters_of(texts: Sequence[str], rule: NearRule = SHORT) -> list[set[str]]:
    """Clusters among distinct texts, by the naive band keys and a naive closure."""
    keys = {text: set(band_keys_naive(text, rule) or []) for text in texts}
    found: list[set[str]] = []
    for text in texts:
        mine = [cluster for cluster in found if any(keys[text] & keys[other] for other in cluster)]
        found = [cluster for cluster in found if cluster not in mine] + [{text}.union(*mine)]
    return [cluster for cluster in found if len(cluster) > 1]


def assert_clusters(
    claimed: Sequence[Mapping[str, Any]],
    kept: Mapping[str, str],
    dropped: Mapping[str, tuple[str, str]],
) -> None:
    """Hold what is told of the largest clusters to the texts."""
    names = {**kept, **{text: name for text, (name, _) in dropped.items()}}
    by_survivor = {
        digest(text): cluster
        for cluster in clusters_of(list(names))
        for text in cluster
        if text in kept
    }
    assert claimed
    for one in claimed:
        cluster = by_survivor[one["survivor"]]
        assert one["documents"] == len(cluster)
        assert one["sources"] == Counter(names[text] for text in cluster)
        (stays,) = (text for text in cluster if digest(text) == one["survivor"])
        own = shingle_set_naive(stays, SHORT.unit, SHORT.shingle)
        others = [shingle_set_naive(text, SHORT.unit, SHORT.shingle) for text in cluster - {stays}]
        true = {f"{len(own & other)}/{len(own | other)}" for other in others}
        assert len(one["similarities"]) == min(5, len(cluster) - 1)
        assert set(one["similarities"]) <= true


def expected(
    texts: Mapping[str, Sequence[str]], competing: Sequence[str] | None = None
) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """The source that keeps each distinct text; and of each dropped one, (its source, that of what
    stays instead).
    """
    kept: dict[str, str] = {}
    for name, mine in texts.items():
        for text in mine:
            kept.setdefault(text, name)
    places, dropped = list(texts), {}
    for cluster in clusters_of(
        [text for text, name in kept.items() if competing is None or name in competing]
    ):
        first = min(
            cluster,
            key=lambda text: (
                places.index(kept[text]),
                order_key(text_digest(text)),
                text_digest(text),
            ),
        )
        dropped.update({text: (kept[text], kept[first]) for text in cluster - {first}})
    return {text: name for text, name in kept.items() if text not in dropped}, dropped


def write_sources(folder: Path, texts: Mapping[str, Sequence[str]] = TEXTS, files: int = 3) -> None:
    for name, mine in texts.items():
        write_files(folder, name, sharded(mine, files))


def mixed(folder: Path) -> dict[str, str]:
    """Digest and source of every document of a mix."""
    return {document.digest: document.source for document in read_mix(folder)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that a search has groups, segments and partitions of every kind."""
    monkeypatch.setattr(survey, "GROUP_BYTES", (1, 1))
    monkeypatch.setattr(needs, "SEGMENT_BYTES", 3_000)
    monkeypatch.setattr(select, "PARTITION_DOCUMENTS", 20)
    monkeypatch.setattr(search, "PARTITION_DOCUMENTS", 20)
    monkeypatch.setattr(search, "SORT_BYTES", 2_000)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, manifests.Manifest]:
    """A verifying build of the planted corpus, with its store: copy it, do not change it."""
    folder = tmp_path_factory.mktemp("near")
    write_sources(folder / "data")
    recipe = write_recipe(folder / "recipes", ALL, near={"rule": RULE, "verify": "0.2"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "GROUP_BYTES", (1, 1))
        patch.setattr(search, "PARTITION_DOCUMENTS", 60)
        patch.setattr(search, "SORT_BYTES", 8_000)
        return folder, make(recipe, folder, folder / "data")


# who gives way


@pytest.mark.usefixtures("small")
def test_of_each_cluster_the_first_source_keeps_one_document(tmp_path):
    write_sources(tmp_path / "data")
    recipe = write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE})
    manifest = make(recipe, tmp_path, tmp_path / "data")
    kept, dropped = expected(TEXTS)
    assert len(dropped) > 20
    assert {pair[0] for pair in dropped.values()} == {"a", "b", "c"}
    assert mixed(tmp_path / "out") == {digest(text): name for text, name in kept.items()}
    for name in ALL:
        reasons = {
            f"near-duplicate of {other}": count
            for other, count in Counter(b for a, b in dropped.values() if a == name).items()
        }
        counts = manifest["removed"][name]
        assert {
            reason: count for reason, count in counts.items() if reason.startswith("near")
        } == reasons
        assert (
            counts["rows"]
            == len(TEXTS[name])
            == sum(count for reason, count in counts.items() if reason != "rows")
        )
    sizes = sorted((len(cluster) for cluster in clusters_of([*kept, *dropped])), reverse=True)
    near = manifest["near"]
    found = [cluster["documents"] for cluster in near["largest"]]
    assert (near["clusters"], near["clustered"], found) == (
        len(sizes),
        sum(sizes),
        sizes[:10],
    )
    assert near["sizes"] == {
        str(size): count
        for size, count in Counter(1 << (size.bit_length() - 1) for size in sizes).items()
    }
    assert near["dropped"] == {name: sum(a == name for a, _ in dropped.values()) for name in ALL}
    assert near["documents"] == sum(
        band_keys_naive(text, SHORT) is not None for text in [*kept, *dropped]
    )
    report = audit_mix(tmp_path / "out", full=True)
    assert report.passed, report.failures
    assert report.near is not None
    assert report.near.largest_sizes == sizes[:10]
    assert_clusters(near["largest"], kept, dropped)


@pytest.mark.usefixtures("small")
def test_a_cluster_spans_partitions_of_both_kinds(tmp_path):
    write_sources(tmp_path / "data")
    make(write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE}), tmp_path, tmp_path / "data")
    (folder,) = (tmp_path / "store" / "near").iterdir()
    linked = [read_done(path)["edges"] for path in folder.glob("edges/p*")]
    counts = [read_done(path)["documents"] for path in folder.glob("documents/p*")]
    assert len(linked) >= 8
    assert len(counts) >= 4
    assert sum(count > 0 for count in linked) > 2
    chain = max(clusters_of(list(dict.fromkeys(itertools.chain(*TEXTS.values())))), key=len)
    assert len(chain) == 8
    assert len({order_key(text_digest(text)) >> 62 for text in chain}) > 1
    keys = [set(band_keys_naive(text, SHORT) or []) for text in chain]
    assert any(not one & other for one in keys for other in keys), (
        "the ends of the chain must share no key"
    )


def test_sources_that_take_no_part_keep_their_documents(tmp_path):
    write_sources(tmp_path / "data")
    manifest = make(
        write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE, "sources": ["b", "c"]}),
        tmp_path,
        tmp_path / "data",
    )
    kept, dropped = expected(TEXTS, ["b", "c"])
    assert {name for name, _ in dropped.values()} == {"b", "c"}
    assert mixed(tmp_path / "out") == {digest(text): name for text, name in kept.items()}
    assert manifest["near"]["dropped"]["a"] == 0
    assert audit_mix(tmp_path / "out").passed
    assert not list((tmp_path / "store" / "sources").glob("a-*/*/bands-*"))


@pytest.mark.parametrize("excluded", [False, True])
def test_near_copies_of_an_excluded_recipe_are_kept_out_if_the_recipe_says_so(tmp_path, excluded):
    draw = random.Random(3)
    base = [words(draw, 60) for _ in range(12)]
    taken = [" ".join(document) for document in base]
    near = [" ".join([*document[:30], "changed", *document[31:]]) for document in base]
    fresh = [" ".join(words(draw, 60)) for _ in range(5)]
    write_sources(tmp_path / "data", {"old": taken, "new": [*near, *taken[:6], *fresh]})
    write_recipe(tmp_path / "recipes", {"old": {"all": "true"}}, name="first")
    asked = {"rule": RULE, "excluded": str(excluded).lower()}
    recipe = write_recipe(
        tmp_path / "recipes", {"new": {"all": "true"}}, exclude=["first.yaml"], near=asked
    )
    manifest = make(recipe, tmp_path, tmp_path / "data")
    counts = manifest["removed"]["new"]
    assert counts["excluded"] == 6
    assert counts.get("near-duplicate of an excluded recipe", 0) == (12 if excluded else 0)
    # without `excluded`, a near-copy stays although its twin in the same source is kept out as an
    # exact copy
    assert set(mixed(tmp_path / "out")) == set(map(digest, fresh if excluded else [*near, *fresh]))
    assert audit_mix(tmp_path / "out", full=True).passed


def test_what_a_recipe_inserts_neither_drops_nor_is_dropped(tmp_path):
    write_sources(tmp_path / "data")
    write_files(tmp_path / "data", "mine", {"one": [f"{text} tail" for text in TEXTS["a"][:5]]})
    recipe = write_recipe(tmp_path / "recipes", {**ALL, "mine": {}}, near={"rule": RULE})
    content = recipe.read_text().replace(', "mine": {"use": "mine.yaml"}', "")
    recipe.write_text(content[:-1] + ', "insert": {"mine": {"use": "mine.yaml"}}}')
    manifest = make(recipe, tmp_path, tmp_path / "data")
    kept, _ = expected(TEXTS)
    assert len(mixed(tmp_path / "out")) == len(kept) + 5
    assert manifest["removed"]["mine"]["kept"] == 5
    assert "mine" not in manifest["near"]["dropped"]
    assert audit_mix(tmp_path / "out").passed


# verification


@pytest.mark.usefixtures("small")
def test_verified_pairs_are_those_of_the_stated_similarity(tmp_path):
    draw = random.Random(11)
    pairs = []
    for number in range(60):
        document = words(draw, 60)
        changed = [word if at >= number else f"x{word}" for at, word in enumerate(document)]
        pairs.append((" ".join(document), " ".join(changed)))
    write_sources(
        tmp_path / "data", {"a": [one for one, _ in pairs], "b": [other for _, other in pairs]}
    )
    sources = {name: ALL[name] for name in "ab"}
    manifest = make(
        write_recipe(tmp_path / "recipes", sources, near={"rule": RULE, "verify": "0.6"}),
        tmp_path,
        tmp_path / "data",
    )
    candidates, gone = 0, set()
    for one, other in pairs[1:]:  # the first pair is one text
        if set(band_keys_naive(one, SHORT) or []) & set(band_keys_naive(other, SHORT) or []):
            candidates += 1
            first, second = (shingle_set_naive(text, "words", 2) for text in (one, other))
            if Fraction(len(first & second), len(first | second)) >= Fraction(6, 10):
                gone.add(digest(other))
    assert 5 < len(gone) < candidates
    stayed = {found for found, name in mixed(tmp_path / "out").items() if name == "b"}
    assert stayed == {digest(other) for _, other in pairs[1:]} - gone
    assert manifest["near"]["clusters"] == len(gone)
    assert audit_mix(tmp_path / "out").passed


@pytest.mark.parametrize(
    "texts",
    [["one two", "three"], [" ".join(words(random.Random(number), 30)) for number in range(4)]],
)
def test_a_corpus_without_candidates_has_none_to_verify(tmp_path, texts):
    write_files(tmp_path / "data", "a", {"one": texts})
    near = {"rule": "words", "verify": "0.8"}
    manifest = make(
        write_recipe(tmp_path / "recipes", {"a": {"all": "true"}}, near=near),
        tmp_path,
        tmp_path / "data",
    )
    assert (manifest["near"]["clusters"], manifest["removed"]["a"]["kept"]) == (0, len(texts))
    assert audit_mix(tmp_path / "out", full=True).passed


def test_texts_that_changed_since_they_were_ingested_are_not_verified(tmp_path, monkeypatch):
    draw = random.Random(5)
    document = words(draw, 60)
    texts = [
        " ".join(document),
        " ".join([*document[:59], "changed"]),
        *(" ".join(words(draw, 20)) for _ in range(5)),
    ]
    write_files(tmp_path / "data", "a", {"one": texts}, "jsonl")
    sources = {"a": {"all": "true"}}
    make(
        write_recipe(tmp_path / "recipes", sources, {"a": "jsonl"}, near={"rule": RULE}),
        tmp_path,
        tmp_path / "data",
    )
    path = tmp_path / "data" / "a" / "one.jsonl"
    before = path.stat()
    with path.open("r+") as file:
        content = file.read().replace("changed", "CHANGED")
        file.seek(0)
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    # as if the file system had no ctime, which no program can set back
    monkeypatch.setattr(InputFile, "state", property(lambda file: (file.mtime_ns, file.inode)))
    recipe = write_recipe(
        tmp_path / "recipes", sources, {"a": "jsonl"}, near={"rule": RULE, "verify": "0.5"}
    )
    with pytest.raises(InputError, match="is not the document that was ingested"):
        make(recipe, tmp_path, tmp_path / "data", "again")
    assert not (tmp_path / "again").exists()


# placement


@pytest.mark.usefixtures("small")
def test_workers_tasks_files_and_ceilings_drop_the_same_documents(tmp_path, monkeypatch):
    near = {"rule": RULE, "verify": "0.2"}
    sources: dict[str, dict[str, Any]] = {
        "a": {"tokens": 2_000},
        "b": {"tokens": 1_000, "keys": [0, 0.9]},
        "c": {"tokens": 1_500},
    }
    recipe = write_recipe(tmp_path / "recipes", sources, near=near)
    write_sources(tmp_path / "data")
    reference = make(recipe, tmp_path, tmp_path / "data", workers=1, tasks=1)
    assert sum(reference["near"]["dropped"].values()) > 10
    draw = random.Random(1)
    shuffled = {name: draw.sample(texts, len(texts)) for name, texts in TEXTS.items()}
    write_sources(tmp_path / "shuffled", shuffled, 7)
    write_sources(tmp_path / "whole", shuffled, 1)
    runs: list[tuple[str, dict[str, Any]]] = [
        ("data", {"workers": 2, "tasks": 7}),
        ("shuffled", {"workers": 2, "tasks": 2}),
        ("whole", {}),
    ]
    for number, (data, more) in enumerate(runs):
        with monkeypatch.context() as patch:
            patch.setattr(
                build_sources, "CEILING_MARGIN", Fraction(1, 20) if number % 2 else Fraction(100)
            )
            patch.setattr(search, "PARTITION_DOCUMENTS", 10 + 40 * number)
            found = make(
                recipe,
                tmp_path,
                tmp_path / data,
                f"out{number}",
                f"store{number}",
                **{"workers": 1, **more},
            )
        assert found["identity"] == reference["identity"]
        assert found["near"] == reference["near"]
        assert found["removed"] == reference["removed"]


# one store, several builds


def tokens_of(store: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in store.glob("sources/*/*/tokens-*/*")
    }


def test_builds_with_and_without_near_share_a_store(tmp_path, monkeypatch):
    write_sources(tmp_path / "data")
    plain = write_recipe(tmp_path / "recipes", ALL, name="plain")
    near = write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE}, name="near")
    first = make(plain, tmp_path, tmp_path / "data", "plain")
    tokens = tokens_of(tmp_path / "store")
    with monkeypatch.context() as patch:  # a later near reads texts again, and tokenizes nothing
        patch.setattr(
            "pipeline.stages.ingest.loaded_tokenizer",
            lambda *_: pytest.fail("something is tokenized"),
        )
        found = make(near, tmp_path, tmp_path / "data", "near")
        assert make(plain, tmp_path, tmp_path / "data", "again")["identity"] == first["identity"]
    assert tokens_of(tmp_path / "store") == tokens
    assert found["identity"] != first["identity"]
    assert (
        make(near, tmp_path, tmp_path / "data", "fresh", "other")["identity"] == found["identity"]
    )
    assert first["near"] is None


def test_another_threshold_reads_no_text_for_band_keys(built, tmp_path):
    shutil.copytree(built[0], tmp_path / "near", copy_function=os.link)
    folder = tmp_path / "near"
    before = {path: path.stat().st_ino for path in (folder / "store" / "sources").rglob("*")}
    recipe = write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE})
    make(recipe, folder, folder / "data", "loose")
    assert {
        path: path.stat().st_ino for path in (folder / "store" / "sources").rglob("*")
    } == before


def test_a_moved_store_keeps_its_searches(built, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "PARTITION_DOCUMENTS", 60)
    monkeypatch.setattr(search, "SORT_BYTES", 8_000)
    shutil.copytree(built[0] / "store", tmp_path / "moved", copy_function=os.link)
    before = {path: path.stat().st_ino for path in (tmp_path / "moved" / "near").rglob("*")}
    assert (
        make(built[0] / "recipes" / "mix.yaml", tmp_path, built[0] / "data", "out", "moved")
        == built[1]
    )
    assert {path: path.stat().st_ino for path in (tmp_path / "moved" / "near").rglob("*")} == before


def test_gc_deletes_searches_and_the_next_build_makes_them_again(tmp_path):
    write_sources(tmp_path / "data")
    recipe = write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE})
    first = make(recipe, tmp_path, tmp_path / "data")
    left = tmp_path / "store" / "near" / "0123" / "edges" / ".p0000.1.tmp"
    left.mkdir(parents=True)
    (left.parents[1] / ".clusters.1.tmp").mkdir()
    assert make(recipe, tmp_path, tmp_path / "data", "swept") == first
    assert not list((tmp_path / "store" / "near").rglob("*.tmp"))
    store_commands.collect(tmp_path / "store", as_json=False)
    assert not list((tmp_path / "store" / "near").iterdir())
    tokens = tokens_of(tmp_path / "store")
    assert make(recipe, tmp_path, tmp_path / "data", "again") == first
    assert tokens_of(tmp_path / "store") == tokens


# closed


DAMAGED = (
    "sources/a-*/*/bands-*/0000.bands",
    "sources/a-*/*/bands-*/0000.exempt",
    "near/*/documents/p0000/digest",
    "near/*/documents/p0001/source",
    "near/*/bands/p0000/*.band_key",
    "near/*/bands/p0001/*.band_row",
    "near/*/edges/p*/linked",
    "near/*/candidates/*.document",
    "near/*/shingles/*/shingle",
    "near/*/shingles/*/num_shingles",
    "near/*/verified/p*/document",
    "near/*/clusters/component",
    "near/*/drops/0000.digest",
    "near/*/drops/0000.survivor_source",
)


@pytest.mark.parametrize(
    ("pattern", "damage"), each_once(DAMAGED, ["missing", "truncated", "changed"])
)
def test_a_damaged_file_of_a_search_fails_the_next_build(built, monkeypatch, pattern, damage):
    folder = built[0]
    path = next(path for path in sorted((folder / "store").glob(pattern)) if path.stat().st_size)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            content[:-1] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1])
        )
    with monkeypatch.context() as patch:
        patch.setattr(search, "PARTITION_DOCUMENTS", 60)
        patch.setattr(search, "SORT_BYTES", 8_000)
        try:
            with pytest.raises(ManifestError, match=re.escape(path.name)) as failure:
                make(folder / "recipes" / "mix.yaml", folder, folder / "data", "again")
        finally:
            path.write_bytes(content)
    assert failure.value.exit_code == 6
    assert not (folder / "again").exists()


def test_a_done_search_is_not_made_again(built, monkeypatch):
    monkeypatch.setattr(search, "PARTITION_DOCUMENTS", 60)
    monkeypatch.setattr(search, "SORT_BYTES", 8_000)
    folder = built[0]
    before = {path: path.stat().st_ino for path in (folder / "store" / "near").rglob("*")}
    assert make(folder / "recipes" / "mix.yaml", folder, folder / "data", "once-more") == built[1]
    assert {path: path.stat().st_ino for path in (folder / "store" / "near").rglob("*")} == before


def test_drops_of_another_selection_are_refused(tmp_path, monkeypatch):
    write_sources(tmp_path / "data")
    recipe = write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE})
    monkeypatch.setattr(select, "drop_rows", lambda drops, key, digest: np.full(len(key), -1))
    with pytest.raises(
        ManifestError, match="documents give way to near-copies, 0 of them are there"
    ):
        make(recipe, tmp_path, tmp_path / "data")
    assert not (tmp_path / "out").exists()


def test_a_search_above_the_memory_is_refused_before_anything_is_spilled(tmp_path, monkeypatch):
    write_sources(tmp_path / "data")
    monkeypatch.setattr(search, "machine_memory", lambda: 100)
    with pytest.raises(RecipeError, match="of memory in one process, 100 are allowed"):
        make(
            write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE}),
            tmp_path,
            tmp_path / "data",
        )
    assert not list((tmp_path / "store").glob("near/*"))


# audit


CLUSTER = ClusterClaim(documents=2, sources={"a": 2}, survivor="0" * 32, similarities=["1/2"])


def forged(claims: Claims, **more: Any) -> Claims:
    assert claims.near is not None
    return claims.model_copy(update={"near": claims.near.model_copy(update=more)})


@pytest.mark.parametrize(
    "more",
    [
        {"identity": "0" * 64},
        {"verify": "0.3"},
        {"sources": ["a", "b"]},
        {"clusters": 3},
        {"clustered": 10_000},
        {"sizes": {"3": 1}},
        {"sizes": {}},
        {"largest": []},
        {"largest": [CLUSTER, CLUSTER.model_copy(update={"documents": 4})]},
        {"largest": [CLUSTER.model_copy(update={"sources": {"a": 3}})]},
        {"dropped": {"a": 1, "b": 0, "c": 0}},
        {"documents": 1},
    ],
)
def test_forged_figures_of_clusters_are_seen(built, more):
    claims = typed(built[1], "manifest")
    assert check_near(claims).ok
    assert not check_near(forged(claims, **more)).ok


def test_near_duplicates_without_clusters_are_seen(built):
    claims = typed(built[1], "manifest")
    assert isinstance(claims.near, NearClaim)
    assert not check_near(claims.model_copy(update={"near": None})).ok
    removed = {**claims.removed, "a": {**claims.removed["a"], "near-duplicate of nobody": 0}}
    assert not check_near(claims.model_copy(update={"removed": removed})).ok


# killed


BUILD = """
import sys
from pathlib import Path
from pipeline.build.sources import needs
from pipeline.inputs import survey
from pipeline.stages import select
from pipeline.build import near as search
from tests.pipeline.corpus import each_once, make
if __name__ == "__main__":
    survey.GROUP_BYTES, select.PARTITION_DOCUMENTS = (1, 1), 40
    search.PARTITION_DOCUMENTS, search.SORT_BYTES = 10, 500
    work = Path(sys.argv[1])
    make(work / "recipes" / "mix.yaml", work, work / "data", workers=1)
"""
SIGNS = ("documents/p0003", "edges/p0008", "shingles/*", "verified/p0003", "clusters")


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", BUILD, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )


@pytest.mark.campaign  # tests/faults/test_kills kills a build with every stage by default
def test_a_build_killed_in_each_stage_of_a_search_is_finished_with_the_same_bytes(built, tmp_path):
    shutil.copytree(built[0] / "data", tmp_path / "data")
    write_recipe(tmp_path / "recipes", ALL, near={"rule": RULE, "verify": "0.2"})
    killed = 0
    for sign in SIGNS:
        process, until = start(tmp_path), time.monotonic() + 60
        while (
            process.poll() is None
            and not any((tmp_path / "store").glob(f"near/*/{sign}"))
            and time.monotonic() < until
        ):
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        killed += process.wait(60) == -signal.SIGKILL
    assert killed >= 3, (tmp_path / "log").read_text()
    assert start(tmp_path).wait(300) == 0, (tmp_path / "log").read_text()
    assert contents(tmp_path / "out") == contents(built[0] / "out")
    assert manifests.load(tmp_path / "out")["near"] == built[1]["near"]
    assert not list((tmp_path / "store").rglob("*.tmp"))


def test_documents_of_ordinary_prose_are_kept_by_the_preset(tmp_path):
    write_files(tmp_path / "data", "a", {"one": prose(1, 50, (60, 80))})
    manifest = make(
        write_recipe(tmp_path / "recipes", {"a": {"all": "true"}}, near="words"),
        tmp_path,
        tmp_path / "data",
    )
    assert manifest["removed"]["a"]["kept"] == 50
    assert manifest["near"]["largest"] == []
