"""A portrait of a mix is what goes through its documents one by one says, and a mix that is not
what its manifest says has none.
"""

from __future__ import annotations

import math
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.audit.portrait import POINTS, Lengths, Portrait, portray
from mixtures.errors import ManifestError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims
from tests.mixtures.audit.forged_mix import forge, forge_manifest
from tests.pipeline.corpus import make, prose, read_mix, sharded, write_files, write_recipe


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix of several parts: one source of many documents, one that is repeated, one of a single
    long one.
    """
    work = tmp_path_factory.mktemp("portrait")
    texts = {
        "many": prose(1, 120),
        "again": prose(2, 15),
        "one": [" ".join(prose(3, 20, (20, 40)))],
    }
    for name, found in texts.items():
        write_files(work / "data", name, sharded(found, 2))
    sources: dict[str, dict[str, Any]] = {
        "many": {"tokens": 2000},
        "again": {"tokens": 900, "shortfall": {"repeat": 9}},
        "one": {"tokens": 300},
    }
    make(write_recipe(work, sources), work, work / "data")
    return work / "out"


def portrait(folder: Path, samples: int = 0) -> Portrait:
    return portray(folder, read_claims(folder), samples)


def test_lengths_epochs_and_samples_are_those_of_the_documents(mix):
    found, documents = portrait(mix, 3), read_mix(mix)
    assert len(manifests.load(mix)["hashes"]["documents_parts"]) > 1
    assert max(document.epoch for document in documents) > 0
    for number, source in enumerate(manifests.load(mix)["sources"]):
        mine = [
            (at, document)
            for at, document in enumerate(documents)
            if document.source == source["name"]
        ]
        lengths = found.lengths[number]
        assert np.repeat(lengths.values, lengths.counts).tolist() == sorted(
            document.num_tokens for _, document in mine
        )
        assert found.first_documents[number] == sum(document.epoch == 0 for _, document in mine)
        assert found.samples[number] == [at for at, _ in mine[:3]]


def test_strays_bound_every_prefix_of_the_stream_and_are_reached(mix):
    """Token by token, with exact shares: within a stretch nothing is beyond, and something is at,
    the lowest and the highest.
    """
    found, documents, manifest = portrait(mix), read_mix(mix), manifests.load(mix)
    total = manifest["total_tokens"]
    assert found.edges.tolist() == [at * total // POINTS for at in range(POINTS + 1)]
    owners = [document.source for document in documents for _ in range(document.num_tokens)]
    for number, source in enumerate(manifest["sources"]):
        placed = [0, *np.cumsum([owner == source["name"] for owner in owners]).tolist()]
        assert found.placed[number].tolist() == [placed[edge] for edge in found.edges.tolist()]
        share = Fraction(source["realised_tokens"], total)
        off = [count - share * at for at, count in enumerate(placed)]
        for stretch, (begin, end) in enumerate(
            zip(found.edges.tolist(), found.edges[1:].tolist(), strict=False)
        ):
            assert found.lowest[number, stretch] == pytest.approx(
                float(min(off[begin : end + 1])), abs=1e-6
            )
            assert found.highest[number, stretch] == pytest.approx(
                float(max(off[begin : end + 1])), abs=1e-6
            )
        assert (
            found.measured[number]
            == math.ceil(max(map(abs, off)))
            == source["deviation"]["measured_tokens"]
        )


@pytest.mark.parametrize("field", ["documents", "realised_tokens", "measured_tokens"])
def test_a_manifest_that_says_otherwise_has_no_portrait(mix, tmp_path, field):
    shutil.copytree(mix, tmp_path / "mix")

    def change(manifest: dict[str, Any]) -> None:
        source = manifest["sources"][0]
        (source["deviation"] if field == "measured_tokens" else source)[field] += 1

    forge_manifest(tmp_path / "mix", change)
    with pytest.raises(ManifestError, match="annealmix audit"):
        portrait(tmp_path / "mix")


def test_two_documents_of_different_sources_that_changed_places_are_noticed_by_the_strays(
    mix, tmp_path
):
    shutil.copytree(mix, tmp_path / "mix")

    def swap(forged: Any) -> None:
        sources = [document.source for document in forged.documents]
        first, last = sources.index("many"), sources.index("one")
        forged.documents[first], forged.documents[last] = (
            forged.documents[last],
            forged.documents[first],
        )

    forge(tmp_path / "mix", swap)
    with pytest.raises(ManifestError, match="from its share"):
        portrait(tmp_path / "mix")


def test_a_damaged_part_is_named(mix, tmp_path):
    shutil.copytree(mix, tmp_path / "mix")
    part = sorted((tmp_path / "mix" / "documents.parquet").iterdir())[1]
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(ManifestError, match="part-00001"):
        portrait(tmp_path / "mix")


@given(st.lists(st.lists(st.integers(1, 40), max_size=20), max_size=4))
def test_lengths_count_in_any_batches(batches):
    lengths, every = Lengths(), sorted(length for batch in batches for length in batch)
    for batch in batches:
        lengths.add(np.array(batch, np.int64))
    assert (lengths.documents, lengths.tokens) == (len(every), sum(every))
    assert lengths.median == (every[(len(every) - 1) // 2] if every else 0)
    edges = np.array([1, 2, 3, 4, 6, 8, 12, 64], np.int64)
    documents, tokens = lengths.histogram(edges)
    inside = [[length for length in every if low <= length < high] for low, high in pairwise(edges)]
    assert documents.tolist() == [len(some) for some in inside]
    assert tokens.tolist() == [sum(some) for some in inside]
