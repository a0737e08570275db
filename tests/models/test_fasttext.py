"""A tiny fastText model, trained here, scored through the real library. Needs the extra `fasttext`:
`make test-models`.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mixtures.errors import InputError, ManifestError, RecipeError
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.fasttext import FastTextClassifier, check_fasttext_file

pytestmark = pytest.mark.models

PLAIN = ["garden", "river", "music", "letter", "stone", "market"]
NAMED = ["orthopox", "ricin", "abrin", "filovirus"]


@pytest.fixture(scope="module", params=["softmax", "ova"])
def model(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    import fasttext

    folder, source = tmp_path_factory.mktemp("fasttext"), random.Random(3)
    lines = [f"__label__benign {' '.join(source.choices(PLAIN, k=6))}" for _ in range(300)]
    lines += [
        f"__label__flagged {' '.join(source.choices(PLAIN, k=3) + source.choices(NAMED, k=3))}"
        for _ in range(300)
    ]
    source.shuffle(lines)
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    options = {
        "dim": 8,
        "epoch": 20,
        "wordNgrams": 2,
        "bucket": 200,
        "thread": 1,
        "seed": 1,
        "verbose": 0,
    }
    fasttext.train_supervised(str(folder / "lines.txt"), loss=request.param, **options).save_model(
        str(folder / "model.bin")
    )
    return folder / "model.bin"


def _open(model: Path) -> FastTextClassifier:
    return FastTextClassifier.open(model, label="__label__flagged")


def test_scores_tell_the_classes_apart_and_do_not_depend_on_the_batch(model: Path) -> None:
    source = random.Random(5)
    texts = [" ".join(source.choices(PLAIN, k=5)) for _ in range(20)] + [
        " ".join(source.choices(NAMED, k=5)) for _ in range(20)
    ]
    classifier = _open(model)
    scores = classifier.score(texts)
    assert scores.dtype == np.uint32
    assert scores[:20].max() < 300_000 < 700_000 < scores[20:].min()
    assert [int(classifier.score([text])[0]) for text in reversed(texts)] == scores.tolist()[::-1]


def test_scores_are_those_of_the_library(model: Path) -> None:
    import fasttext

    reference = fasttext.load_model(str(model))
    for text in ("ricin garden", "music", "abrin abrin river"):
        labels, probabilities = reference.predict(text, k=2)
        expected = dict(zip(labels, probabilities, strict=True))["__label__flagged"]
        assert abs(int(_open(model).score([text])[0]) - min(float(expected), 1.0) * 1_000_000) <= 1


@pytest.mark.parametrize("end", ["\n", " </s> ", "\n</s>\n", "\t</s>\0", "\r\n\r\n"])
def test_nothing_in_a_text_hides_what_follows_it(model: Path, end: str) -> None:
    classifier = _open(model)
    assert (
        classifier.score([f"garden music{end}ricin abrin"]).tolist()
        == classifier.score(["garden music ricin abrin"]).tolist()
    )


def test_end_of_line_mark_inside_a_word_stays(model: Path) -> None:
    import fasttext

    reference = fasttext.load_model(str(model))
    probability = dict(zip(*reference.predict("x</s>y ricin", k=2), strict=True))[
        "__label__flagged"
    ]
    assert (
        abs(int(_open(model).score(["x</s>y ricin"])[0]) - min(float(probability), 1.0) * 1_000_000)
        <= 1
    )


def test_pinned_model_with_one_flipped_bit_is_refused(model: Path, tmp_path: Path) -> None:
    pinned = _open(model).digest
    content = bytearray(model.read_bytes())
    content[-2] ^= 1
    (tmp_path / "model.bin").write_bytes(content)
    parameters = {"label": "__label__flagged"}
    assert open_classifier("fasttext", model, digest=pinned, parameters=parameters).digest == pinned
    with pytest.raises(ManifestError, match="pins"):
        open_classifier("fasttext", tmp_path / "model.bin", digest=pinned, parameters=parameters)


def test_truncated_model_is_refused_wherever_it_is_cut(model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    assert sorted(check_fasttext_file(model)) == ["__label__benign", "__label__flagged"]
    for size in [*range(0, len(content), max(1, len(content) // 60)), len(content) - 1]:
        (tmp_path / "cut.bin").write_bytes(content[:size])
        with pytest.raises(InputError):
            _open(tmp_path / "cut.bin")


def test_label_that_the_model_lacks_is_refused_by_name(model: Path) -> None:
    with pytest.raises(RecipeError, match="__label__flagged"):
        FastTextClassifier.open(model)


@pytest.mark.parametrize("text", ["", " \n\t", "ricin \udfff"])
def test_text_that_cannot_be_scored_is_refused(model: Path, text: str) -> None:
    with pytest.raises(InputError, match="document 1 of the batch"):
        _open(model).score(["garden", text])


def test_models_of_other_kinds_are_refused(tmp_path: Path) -> None:
    import fasttext

    (tmp_path / "lines.txt").write_text(
        "\n".join(["__label__flagged ricin abrin", "__label__benign garden river"] * 300) + "\n"
    )
    options = {"dim": 4, "epoch": 2, "maxn": 0, "thread": 1, "verbose": 0}
    fasttext.train_supervised(str(tmp_path / "lines.txt"), loss="hs", **options).save_model(
        str(tmp_path / "hs.bin")
    )
    with pytest.raises(InputError, match="softmax or ova"):
        _open(tmp_path / "hs.bin")
    fasttext.train_unsupervised(str(tmp_path / "lines.txt"), minCount=1, **options).save_model(
        str(tmp_path / "vectors.bin")
    )
    with pytest.raises(InputError, match="supervised"):
        _open(tmp_path / "vectors.bin")
    options = {
        "dim": 8,
        "epoch": 2,
        "wordNgrams": 2,
        "bucket": 400,
        "thread": 1,
        "verbose": 0,
    }  # too few rows cannot be quantised
    quantised = fasttext.train_supervised(str(tmp_path / "lines.txt"), **options)
    quantised.quantize()
    quantised.save_model(str(tmp_path / "model.ftz"))
    with pytest.raises(InputError, match="quantised"):
        _open(tmp_path / "model.ftz")
