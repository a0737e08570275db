"""`Filter`: decisions, pins and golden texts; and the planted documents of the shipped sample, in
their published layouts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.recipe.load import load_source_definition
from mixtures.rules.filter_definition import FilterDefinition
from pipeline.inputs.readers import DocumentReader
from pipeline.judges.annotators.blocklist import Blocklist
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.linear import LinearWeights
from pipeline.judges.filter import NOT_SCORED, Filter
from tests.pipeline.input_files import list_inputs

TERMS = ["Abrin", "Ricin", "Lassa virus", "Lassa fever virus"]
WORDS = [
    "tea",
    "pricing",
    "river",
    "abrin",
    "RICIN",
    "Lassa\u00a0virus",
    "lassa fever\nvirus",
    "Abrin",
]
ONE = 1 << 16


def files(folder: Path, bias: int | None = None, **changes: Any) -> FilterDefinition:
    """Write a blocklist, and weights that score every text alike (bias: margin in units of 2^-16);
    return a filter that pins them.
    """
    content = "\n".join(TERMS).encode()
    (folder / "terms.txt").write_bytes(content)
    fields: dict[str, Any] = {
        "name": "toy",
        "blocklist": {
            "file": "terms.txt",
            "sha256": hashlib.sha256(content).hexdigest(),
            "mode": "words",
        },
        "golden": [{"text": "Abrin and Ricin", "flagged": True}, {"text": "tea", "flagged": False}],
    }
    if bias is not None:
        LinearWeights(np.zeros(256, np.int32), bias, 0).save(folder / "weights.safetensors")
        digest = open_classifier("linear", folder / "weights.safetensors").digest
        fields["classifier"] = {
            "kind": "linear",
            "path": "weights.safetensors",
            "digest": digest,
            "threshold": "0.5",
        }
    return FilterDefinition.model_validate(fields | changes)


class Scripted:
    """A classifier whose score is the number at the text's end."""

    digest = ""

    def score(self, texts):
        return np.array([int(text.rsplit(" ", 1)[1]) for text in texts], np.uint32)


def test_without_a_classifier_every_escalated_document_is_flagged(tmp_path):
    found = Filter.open(files(tmp_path), tmp_path).judge(
        ["Abrin, abrin", "abrin and ricin", "tea", "lassa fever virus; Ricin; ABRIN"]
    )
    assert found.terms.tolist() == [1, 2, 0, 3]
    assert found.escalated.tolist() == found.flagged.tolist() == [False, True, False, True]
    assert found.scores.tolist() == [NOT_SCORED] * 4


def test_a_score_must_be_greater_than_the_threshold_and_only_escalated_documents_are_scored(
    tmp_path,
):
    definition = files(tmp_path, 0)
    judge = Filter(definition, Blocklist(TERMS, "words"), Scripted())
    found = judge.judge(["abrin ricin 500000", "tea 999999", "abrin ricin 500001", "abrin 1000000"])
    assert found.escalated.tolist() == [True, False, True, False]
    assert found.flagged.tolist() == [False, False, True, False]
    assert found.scores.tolist() == [500_000, NOT_SCORED, 500_001, NOT_SCORED]


@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), max_size=8))
@settings(max_examples=40)
def test_a_decision_depends_on_its_document_alone(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("filter")
    judge = Filter.open(files(folder, 2 * ONE), folder)
    together, alone = judge.judge(texts), [judge.judge([text]) for text in texts]
    for at, column in enumerate(together):
        assert column.tolist() == [one[at].tolist()[0] for one in alone]


def test_an_empty_batch_has_no_decisions(tmp_path):
    assert all(len(column) == 0 for column in Filter.open(files(tmp_path, ONE), tmp_path).judge([]))


def test_opening_needs_golden_decisions_to_come_out(tmp_path):
    Filter.open(files(tmp_path, ONE), tmp_path)
    with pytest.raises(
        ManifestError,
        match=(
            r"golden\[0\] is not flagged \(2 distinct terms, score .* millionths\), the file says"
            r" flagged"
        ),
    ):
        Filter.open(files(tmp_path, -ONE), tmp_path)
    golden = [
        {"text": "Abrin and Ricin", "flagged": True},
        {"text": "Ricin; Lassa virus", "flagged": False},
    ]
    with pytest.raises(ManifestError, match=r"golden\[1\] is flagged") as caught:
        Filter.open(files(tmp_path, golden=golden), tmp_path)
    assert "Ricin" not in str(caught.value)


@pytest.mark.parametrize("name", ["terms.txt", "weights.safetensors"])
def test_a_missing_file_is_an_input_error(tmp_path, name):
    definition = files(tmp_path, ONE)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        Filter.open(definition, tmp_path)


@given(share=st.fractions(0, 1), bit=st.integers(0, 7))
@settings(max_examples=60)
def test_one_flipped_bit_in_the_weights_is_a_manifest_error(tmp_path_factory, share, bit):
    folder = tmp_path_factory.mktemp("filter")
    definition = files(folder, ONE)
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[int(share * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(bytes(content))
    with pytest.raises(ManifestError):
        Filter.open(definition, folder)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights_are_a_manifest_error(tmp_path, keep):
    definition = files(tmp_path, ONE)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ManifestError):
        Filter.open(definition, tmp_path)


def test_a_missing_extra_stays_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fasttext.FastText", None)
    (tmp_path / "model.bin").write_bytes(b"x")
    classifier = {"kind": "fasttext", "path": "model.bin", "digest": "ab" * 32, "threshold": "0.5"}
    with pytest.raises(RecipeError, match=r"annealmix\[fasttext\]"):
        Filter.open(files(tmp_path, classifier=classifier), tmp_path)


def planted_names(source: str) -> dict[tuple[str, int], int]:
    """(file, row) -> number of listed names, of the documents that the sample plants in a
    source.
    """
    import recipes

    entries = json.loads(
        (Path(recipes.__file__).parent / "sample" / "data" / "PLANTED.json").read_text(
            encoding="utf-8"
        )
    )
    kinds = ("listed-names", "disguised-names")
    return {
        (one["file"], one["row"]): len(one["names"])
        for one in entries
        if one["source"] == source and one["kind"] in kinds
    }


SOURCES = [
    "camel-biology",
    "camel-chemistry",
    "camel-physics",
    "dclm-baseline",
    "dclm-dedup",
    "dolmino-flan",
    "dolmino-pes2o",
    "dolmino-stackexchange",
    "dolmino-wiki",
]


@pytest.mark.parametrize("source", SOURCES)
def test_of_planted_documents_just_those_that_name_two_items_are_flagged_in_every_published_layout(
    sample_data, source
):
    judge, definition, planted = (
        Filter.load("control-lists"),
        load_source_definition(source),
        planted_names(source),
    )
    terms: dict[tuple[str, int], int] = {}
    flagged: set[tuple[str, int]] = set()
    for file in list_inputs(definition, sample_data):
        places, texts = zip(
            *(((file.path, row), text) for row, text in DocumentReader(file, definition)),
            strict=True,
        )
        found = judge.judge(texts)
        terms |= {
            place: int(count) for place, count in zip(places, found.terms, strict=True) if count
        }
        flagged |= {
            place for place, is_flagged in zip(places, found.flagged, strict=True) if is_flagged
        }
    assert terms == planted
    assert flagged == {place for place, names in planted.items() if names >= 2}


def test_the_planted_documents_name_one_two_and_three_items():
    counts = [names for source in SOURCES for names in planted_names(source).values()]
    assert {1, 2, 3} <= set(counts)
    assert len(counts) >= 30
