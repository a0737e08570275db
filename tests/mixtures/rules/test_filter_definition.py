"""Filter definitions: what a file may say, what its identity is, and how its blocklist is held to
its hash.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.rules.filter_definition import MILLION, BlocklistPin, ClassifierPin, FilterDefinition
from mixtures.rules.filter_files import list_filters, load_filter, load_terms

TERMS = b"Abrin\nRicin\nLassa virus\n"
SHA256 = hashlib.sha256(TERMS).hexdigest()
GOLDEN = "golden:\n  - {text: Abrin and Ricin, flagged: true}\n  - {text: tea, flagged: false}\n"
FILTER = f"name: mine\nblocklist: {{file: terms.txt, sha256: {SHA256}, mode: words}}\n"
CLASSIFIER = (
    f"classifier: {{kind: sequence, path: model, digest: {'ab' * 32}, threshold: 0.0105}}\n"
)


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    (folder / "terms.txt").write_bytes(TERMS)
    return path


def loaded(folder: Path, text: str) -> FilterDefinition:
    return load_filter(str(written(folder, text))).definition


def test_a_filter_escalates_from_two_terms_on_unless_it_says_otherwise(tmp_path):
    definition = loaded(tmp_path, FILTER + GOLDEN)
    assert (definition.blocklist.threshold, definition.classifier) == (2, None)


def test_shipped_filters_load_by_name_and_hold_their_pins():
    assert list_filters() == ["control-lists"]
    shipped = load_filter("control-lists")
    assert len(load_terms(shipped.definition.blocklist, shipped.folder)) > 80
    assert shipped.where == "recipes/filters/control-lists.yaml"


def test_an_unknown_name_lists_what_is_shipped():
    with pytest.raises(RecipeError, match="did you mean 'control-lists'"):
        load_filter("control-list")


def test_all_faults_are_listed_at_once_with_their_lines(tmp_path):
    text = (
        "name: Mine\nblocklist:\n  file: ../terms.txt\n  sha256: abc\n  mode: substring\n "
        " threshold: 0\nsurprise: 1\nclassifier:\n  kind: linear\n  path: w\n  digest: ''\n "
        " threshold: 1.0\n  parameters: {context: 512}\ngolden:\n  - {text: a, flagged: yes}\n"
    )
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, text)
    faults = str(caught.value).splitlines()
    where = [fault.split("mine.yaml:")[1].split(": ")[0:2] for fault in faults]
    assert [int(line) for line, _ in where] == sorted(int(line) for line, _ in where)
    assert {path for _, path in where} == {
        "name",
        "surprise",
        "blocklist.file",
        "blocklist.sha256",
        "blocklist.mode",
        "blocklist.threshold",
        "classifier.digest",
        "classifier.threshold",
        "classifier.parameters.context",
        "golden",
        "golden[0].flagged",
    }


@pytest.mark.parametrize(
    "golden",
    [
        "golden: []\n",
        "golden:\n  - {text: a, flagged: true}\n",
        "golden:\n  - {text: a, flagged: false}\n",
    ],
)
def test_golden_decisions_show_both_outcomes(tmp_path, golden):
    with pytest.raises(RecipeError, match="at least one of each"):
        loaded(tmp_path, FILTER + golden)


def test_identity_is_what_decides_and_nothing_else(tmp_path):
    first = loaded(tmp_path, FILTER + CLASSIFIER + GOLDEN)
    same = FILTER.replace("mine", "other").replace("terms.txt", "list.txt") + "description: x\n"
    same += CLASSIFIER.replace("path: model", "path: copy").replace(
        "0.0105", "0.01050"
    ) + GOLDEN.replace("tea", "rain")
    assert loaded(tmp_path, same).identity == first.identity
    device = CLASSIFIER.replace("0.0105", "0.0105, parameters: {device: cuda, threads: 4}")
    assert loaded(tmp_path, FILTER + device + GOLDEN).identity == first.identity
    others = [
        FILTER + GOLDEN,
        FILTER.replace(SHA256, "00" * 32) + CLASSIFIER + GOLDEN,
        FILTER.replace("mode: words", "mode: published") + CLASSIFIER + GOLDEN,
        FILTER.replace("mode: words", "mode: words, threshold: 3") + CLASSIFIER + GOLDEN,
        FILTER + CLASSIFIER.replace("abab", "abac", 1) + GOLDEN,
        FILTER + CLASSIFIER.replace("sequence", "fasttext") + GOLDEN,
        FILTER + CLASSIFIER.replace("0.0105", "0.010501") + GOLDEN,
    ]
    identities = {loaded(tmp_path, text).identity for text in others}
    assert len(identities) == len(others)
    assert first.identity not in identities


def test_identity_of_the_shipped_filter_is_pinned():
    """Changes only with the rule (RULES) or the list: then every result that names it is
    another's.
    """
    assert (
        load_filter("control-lists").definition.identity
        == "4eb49ef64181834efa0b2fb69ef5fb0de1427b810ee26a2081c56c6ab5980611"
    )


@given(score=st.integers(0, MILLION), digits=st.integers(0, 10**12 - 1))
def test_a_score_is_compared_with_the_exact_threshold(score, digits):
    threshold = Decimal(digits).scaleb(-12)
    pin = ClassifierPin(kind="linear", path="w", digest="ab" * 32, threshold=threshold)
    assert (score > pin.threshold_millionths) == (Decimal(score) / MILLION > threshold)


@given(at=st.integers(0, len(TERMS) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_in_the_blocklist_is_noticed(tmp_path_factory, at, bit):
    folder = tmp_path_factory.mktemp("list")
    damaged = bytearray(TERMS)
    damaged[at] ^= 1 << bit
    (folder / "terms.txt").write_bytes(bytes(damaged))
    with pytest.raises(ManifestError, match="another list"):
        load_terms(BlocklistPin(file="terms.txt", sha256=SHA256, mode="words"), folder)


def test_a_missing_blocklist_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="restore the file"):
        load_terms(BlocklistPin(file="terms.txt", sha256=SHA256, mode="words"), tmp_path)


def test_a_list_shorter_than_the_threshold_is_refused(tmp_path):
    (tmp_path / "terms.txt").write_bytes(TERMS)
    with pytest.raises(RecipeError, match="could flag nothing"):
        load_terms(
            BlocklistPin(file="terms.txt", sha256=SHA256, mode="words", threshold=4), tmp_path
        )
