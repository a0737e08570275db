"""Near-duplicate search: the kernel is the rule, and no batch, partition or order of anything
changes who is dropped.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.errors import ManifestError, RecipeError
from mixtures.keys import digest_columns, order_keys, text_digest
from mixtures.rules.near import PRESETS, NearRule
from pipeline.judges.annotators.bands import fold_table, shingle_sets, signatures
from pipeline.judges.annotators.folding import Batch
from pipeline.judges.annotators.kernel_arrays import POINTS_A_BYTE
from pipeline.stages.near.clusters import (
    Clusters,
    Drops,
    check_memory,
    clusters,
    drop_rows,
    drops,
    read_clusters,
    read_drops,
    summary,
    write_clusters,
    write_drops,
)
from pipeline.stages.near.edges import (
    BYTES_A_KEY,
    edges,
    num_partitions,
    read_bands,
    read_edges,
    verified,
    write_bands,
    write_edges,
)
from tests.mixtures.rules.naive import (
    band_keys_naive,
    fold,
    fold_point,
    shingle_set_naive,
    unspaced,
)

WORDS, CHARACTERS = PRESETS["words"], PRESETS["characters"]
SHORT = NearRule(unit="words", shingle=2, bands=3, rows=2)
SHORT_CHARACTERS = NearRule(unit="characters", shingle=4, bands=3, rows=2)
TEXT = st.text(
    st.one_of(
        st.sampled_from(
            "ab Z09 .,-_\u00a0\u00ad\u0301é½ﬁ²ß\u2028\ufdfaΣ字の本ไทย、"
            "\x00\ud800\U0001d7ce\U0001f600"
        ),
        st.characters(),
    ),
    max_size=80,
)


def kernel_fold(text: str) -> str:
    from pipeline.judges.annotators import band_kernels as kernels

    content = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    points = np.empty(POINTS_A_BYTE * len(content) + 1, np.uint32)
    count, _ = kernels.folded(content, np.uint64(0), np.uint64(len(content)), fold_table(), points)
    return "".join(map(chr, points[:count].tolist()))


@given(TEXT)
def test_the_kernel_folds_as_the_rule_says(text):
    assert kernel_fold(text) == fold(text)


def test_the_kernel_folds_every_code_point_as_the_rule_says():
    for first in range(0, sys.maxunicode + 1, 4096):
        points = range(first, first + 4096)
        words = "".join(f"{chr(point)}a" for point in points)
        assert kernel_fold(words) == fold(words), hex(first)


def test_no_character_folds_to_more_than_there_is_room_for():
    sizes = [
        (len(fold_point(point)), len(chr(point).encode("utf-8", "surrogatepass")))
        for point in range(sys.maxunicode + 1)
    ]
    assert max(length / size for length, size in sizes) == POINTS_A_BYTE


@pytest.mark.parametrize("rule", [SHORT, SHORT_CHARACTERS, WORDS, CHARACTERS])
@given(texts=st.lists(TEXT, max_size=5), repeats=st.integers(1, 3))
@settings(max_examples=30)
def test_signatures_are_those_of_the_naive_rule(rule, texts, repeats):
    texts = [f"{text} {text[::-1]} " * repeats for text in texts]
    made = signatures(Batch(texts), rule)
    naive = [band_keys_naive(text, rule) for text in texts]
    assert made.exempt.tolist() == [keys is None for keys in naive]
    assert made.bands.tolist() == [keys or [0] * rule.bands for keys in naive]
    assert made.points.tolist() == [
        [len(fold(text)), sum(unspaced(letter) for letter in fold(text))] for text in texts
    ]
    hashes = [sorted(shingle_set_naive(text, rule.unit, rule.shingle)) for text in texts]
    assert [found.tolist() for found in shingle_sets(texts, rule)] == hashes


def test_a_document_of_many_blocks_of_shingles_has_the_naive_signature():
    draw = random.Random(1)
    text = " ".join(
        f"w{chr(draw.randrange(97, 123))}{chr(draw.randrange(0x4E00, 0x9000))}" for _ in range(3000)
    )
    for rule in (SHORT, SHORT_CHARACTERS):
        assert signatures(Batch([text]), rule).bands[0].tolist() == band_keys_naive(text, rule)


def test_a_signature_does_not_depend_on_its_batch():
    texts = [*corpus(), "", "two words"]
    together = signatures(Batch(texts), WORDS)
    alone = np.concatenate([signatures(Batch([text]), WORDS).bands for text in texts])
    assert np.array_equal(together.bands, alone)
    assert signatures(Batch([]), WORDS).bands.shape == (0, 14)


def test_nothing_but_the_kernels_imports_numba():
    script = (
        "import sys, pipeline.judges.annotators.bands, pipeline.stages.near.edges,"
        " pipeline.stages.near.clusters, pipeline.stages.near.spill, mixtures.rules.near;assert"
        " 'numba' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])},
    )


KEYS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 25)), max_size=60)


def columns(rows: list[tuple[int, int]]) -> tuple[Any, Any]:
    table = np.array(rows, np.uint64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@given(KEYS, st.randoms(use_true_random=False))
def test_edges_link_each_document_of_a_bucket_to_its_first_in_any_order(rows, draw):
    expected = set()
    for key, document in rows:
        first = min(other for same, other in rows if same == key)
        if document != first:
            expected.add((first, document))
    for _ in range(2):
        found = edges(*columns(rows))
        assert list(zip(*(side.tolist() for side in found), strict=True)) == sorted(expected)
        draw.shuffle(rows)


def test_a_bucket_of_boilerplate_makes_no_more_edges_than_documents():
    found = edges(np.full(200_000, 7, np.uint64), np.arange(200_000, dtype=np.uint32)[::-1])
    assert len(found[0]) == 199_999
    assert not found[0].any()


@given(
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=40),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
def test_clusters_are_the_connected_components_in_any_order_and_pieces(rows, pieces, draw):
    components = {document: {document} for document in range(40)}
    for one, other in rows:
        joined = components[one] | components[other]
        components.update(dict.fromkeys(joined, joined))
    expected = [
        (document, min(components[document]))
        for document in range(40)
        if len(components[document]) > 1
    ]
    draw.shuffle(rows)
    found = clusters(40, [columns(rows[piece::pieces]) for piece in range(pieces)], 1000)
    assert list(zip(found.documents.tolist(), found.components.tolist(), strict=True)) == expected
    firsts, sizes = found.sizes()
    assert sizes.tolist() == sorted(
        (len(components[first]) for first in firsts.tolist()), reverse=True
    )


def test_clusters_are_counted_by_powers_of_two_of_their_sizes():
    sizes = [2, 3, 4, 7, 8, 2]
    firsts = np.repeat(np.arange(6, dtype=np.uint32), sizes)
    told = summary(Clusters(np.arange(26, dtype=np.uint32), firsts), 30)
    assert (told.documents, told.clusters, told.clustered) == (30, 6, 26)
    assert (told.sizes, told.largest) == ({"2": 3, "4": 2, "8": 1}, [8, 7, 4, 3, 2, 2])
    none = np.empty(0, np.uint32)
    assert summary(Clusters(none, none), 30).sizes == {}


def test_a_text_that_gives_way_in_two_places_is_dropped_once():
    found = Clusters(np.arange(4, dtype=np.uint32), np.zeros(4, np.uint32))
    digest = np.array([[1, 1], [2, 2], [2, 2], [3, 3]], np.uint64)
    gone = drops(found, np.array([0, 1, 2, 1], np.uint8), np.array([9, 5, 5, 4], np.uint64), digest)
    assert gone.order_key.tolist() == [4, 5]
    assert gone.digest.tolist() == [[3, 3], [2, 2]]
    assert gone.survivor.tolist() == [[1, 1], [1, 1]]
    assert gone.survivor_source.tolist() == [0, 0]
    assert gone.survivor_source.dtype == np.dtype(np.uint32)


def test_a_reduction_above_the_memory_is_refused_before_it_begins():
    with pytest.raises(RecipeError, match=r"410,000,000 documents need 5,330,000,000 bytes"):
        check_memory(410_000_000, 5_000_000_000)
    with pytest.raises(RecipeError):
        clusters(1000, (pytest.fail("was read") for _ in range(1)), 12_999)


def test_partitions_are_as_many_as_the_memory_asks():
    assert 410_000_000 * WORDS.bands * BYTES_A_KEY == 68_880_000_000
    assert [
        num_partitions(documents, WORDS, 1 << 30)
        for documents in (0, 1_000_000, 410_000_000, 615_000_000)
    ] == [1, 1, 512, 512]
    with pytest.raises(RecipeError, match="more than 65,536 partitions"):
        num_partitions(615_000_000, WORDS, 1 << 20)


def test_edges_of_another_search_are_refused():
    with pytest.raises(ManifestError, match="document 5 of 5"):
        clusters(5, [columns([(0, 5)])], 1000)


def corpus() -> list[str]:
    """60 documents: some alone, some with near-copies, and a chain of which the ends share no band
    key.
    """
    draw = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyz"

    def words(count: int) -> list[str]:
        return ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(count)]

    texts = []
    for number in range(20):
        document = words(120)
        texts.append(" ".join(document))
        if number % 2:
            texts.append(" ".join(document).upper().replace(" ", ",\u00a0"))
            document[60] = "changed"
            texts.append(" ".join(document))
    chain = words(600)
    texts += [" ".join(chain[60 * step : 60 * step + 420]) for step in range(4)]
    while len(texts) < 60:
        texts.append(" ".join(words(30)))
    return texts


def searched(
    folder: Path,
    texts: list[tuple[int, str]],
    batches: int,
    partitions: int,
    rule: NearRule = SHORT,
) -> list[Drops]:
    """The whole search through files: texts as (source, text). Returns the drops by partition of
    the order key, four of them.
    """
    digests = digest_columns(b"".join(text_digest(text) for _, text in texts))
    batch_folders = []
    bounds = np.linspace(0, len(texts), batches + 1).astype(int)
    for batch in range(batches):
        batch_folders.append(folder / f"bands-{batch}")
        made = signatures(
            Batch([text for _, text in texts[bounds[batch] : bounds[batch + 1]]]), rule
        )
        write_bands(batch_folders[-1], made, rule, partitions)
    edge_folders = [folder / f"edges-{partition}" for partition in range(partitions)]
    for partition in reversed(range(partitions)):
        found = edges(*read_bands(batch_folders, rule, partitions, partition))
        if rule.verify is not None:
            shingles = dict(enumerate(shingle_sets([text for _, text in texts], rule)))
            found = verified(found, shingles, rule)
        write_edges(edge_folders[partition], found)
    write_clusters(
        folder / "clusters",
        clusters(len(texts), map(read_edges, edge_folders), 1 << 20),
        len(texts),
    )
    clustered = read_clusters(folder / "clusters")
    rows = clustered.documents.astype(np.int64)
    sources = np.array([source for source, _ in texts], np.uint32)
    write_drops(
        folder / "drops",
        drops(clustered, sources[rows], order_keys(digests)[rows], digests[rows]),
        4,
    )
    return [read_drops(folder / "drops", 4, partition) for partition in range(4)]


def flat(found: list[Drops]) -> list[tuple[Any, ...]]:
    return [
        row
        for part in found
        for row in zip(
            part.order_key.tolist(),
            part.digest.tolist(),
            part.survivor.tolist(),
            part.survivor_source.tolist(),
            strict=True,
        )
    ]


def test_any_batches_partitions_and_order_drop_the_same_documents(tmp_path):
    draw = random.Random(2)
    texts = [(number % 3, text) for number, text in enumerate(corpus())]
    texts += [(2, text) for _, text in texts[:10]]  # copies in another source
    expected = flat(searched(tmp_path / "one", texts, 1, 1))
    assert len(expected) > 20
    assert expected == sorted(expected)
    for batches, partitions in [(1, 7), (2, 2), (7, 1), (7, 7), (20, 5)]:
        draw.shuffle(texts)
        assert (
            flat(searched(tmp_path / f"{batches}-{partitions}", texts, batches, partitions))
            == expected
        )


def test_a_cluster_whose_links_lie_in_several_partitions_is_one(tmp_path):
    texts = [(0, text) for text in corpus() if len(text.split()) == 420]
    assert len(texts) == 4
    keys = [set(band_keys_naive(text, SHORT) or []) for _, text in texts]
    assert not keys[0] & keys[3], "the ends of the chain must share no key"
    found = flat(searched(tmp_path, texts, 2, 64))
    linked = sum(len(read_edges(tmp_path / f"edges-{partition}")[0]) > 0 for partition in range(64))
    assert linked > 1
    assert len(found) == 3
    assert len({tuple(row[2]) for row in found}) == 1


def test_the_source_in_front_keeps_its_document_whatever_the_keys(tmp_path):
    texts = [text for text in corpus() if len(text.split()) == 120]
    pairs = [(text, f"{text} more") for text in texts]
    for first in (0, 1):
        rows = [(first, left) for left, _ in pairs] + [(1 - first, right) for _, right in pairs]
        found = flat(searched(tmp_path / str(first), rows, 2, 2))
        kept = {tuple(row[2]) for row in found}
        front = digest_columns(
            b"".join(text_digest(text) for source, text in rows if source == 0)
        ).tolist()
        assert kept <= {tuple(digest) for digest in front}
        assert {row[3] for row in found} == {0}


def test_copies_of_the_survivor_are_left_to_exact_deduplication(tmp_path):
    text = " ".join(corpus()[0].split()[:100])
    assert flat(searched(tmp_path, [(1, text), (0, text), (1, text)], 1, 1)) == []


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "no record"])
@pytest.mark.parametrize(
    "name",
    [
        "bands-1/0001.band_key",
        "bands-0/0000.band_row",
        "edges-1/linked",
        "clusters/component",
        "drops/0002.digest",
    ],
)
def test_a_damaged_file_fails_the_search(tmp_path, name, damage):
    texts = [(0, text) for text in corpus()]
    searched(tmp_path, texts, 2, 2)
    path = tmp_path / name
    content = path.read_bytes()
    assert content
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "changed":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    else:
        (path.parent / "done.json").unlink()
    bands = [tmp_path / "bands-0", tmp_path / "bands-1"]

    def read_all() -> None:
        for partition in range(2):
            read_bands(bands, SHORT, 2, partition)
            read_edges(tmp_path / f"edges-{partition}")
        read_clusters(tmp_path / "clusters")
        for partition in range(4):
            read_drops(tmp_path / "drops", 4, partition)

    with pytest.raises(
        ManifestError, match=r"done\.json" if damage == "no record" else name.split("/")[1]
    ):
        read_all()


def test_bands_and_drops_of_another_plan_are_refused(tmp_path):
    searched(tmp_path, [(0, text) for text in corpus()], 1, 2)
    for rule, partitions in [(WORDS, 2), (SHORT, 1)]:
        with pytest.raises(ManifestError, match="another rule or for 2 partitions"):
            read_bands([tmp_path / "bands-0"], rule, partitions, 0)
    with pytest.raises(ManifestError, match=r"0003\.band_key"):
        read_bands([tmp_path / "bands-0"], SHORT, 4, 3)
    with pytest.raises(ManifestError, match="has 4 partitions"):
        read_drops(tmp_path / "drops", 2, 1)


def test_exempt_documents_are_never_linked(tmp_path):
    assert (
        flat(
            searched(
                tmp_path,
                [(0, "one two three"), (1, "one two, three!"), (2, ""), (2, "...")],
                2,
                2,
                WORDS,
            )
        )
        == []
    )


def test_every_verified_edge_has_the_stated_similarity_and_no_other_is_taken():
    texts = corpus()
    rule = SHORT.model_copy(update={"verify": Decimal("0.75")})
    made = signatures(Batch(texts), rule)
    candidates = edges(
        made.bands.ravel(), np.repeat(np.arange(len(texts)), rule.bands).astype(np.uint64)
    )
    taken = set(
        zip(*verified(candidates, dict(enumerate(shingle_sets(texts, rule))), rule), strict=True)
    )
    sets = [shingle_set_naive(text, rule.unit, rule.shingle) for text in texts]
    assert 0 < len(taken) < len(candidates[0])
    for one, other in zip(*candidates, strict=True):
        similar = 4 * len(sets[one] & sets[other]) >= 3 * len(sets[one] | sets[other])
        assert similar == ((one, other) in taken)


PAIRS = st.tuples(st.integers(0, 3), st.integers(0, 9))


@given(st.lists(PAIRS, unique=True, max_size=20), st.lists(PAIRS))
def test_a_drop_is_found_by_its_digest_even_where_keys_collide(dropped, asked):
    table = np.array(sorted(dropped), np.uint64).reshape(-1, 2)
    found = Drops(table[:, 0], table, table, np.zeros(len(table), np.uint32))
    documents = np.array(asked, np.uint64).reshape(-1, 2)
    expected = [
        sorted(dropped).index(document) if document in dropped else -1 for document in asked
    ]
    assert drop_rows(found, documents[:, 0], documents).tolist() == expected
