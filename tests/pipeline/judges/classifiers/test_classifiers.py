"""The linear classifier: its exactness, its file, and the interface that all classifiers share."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from decimal import Decimal, getcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mixtures.errors import InputError, ManifestError, RecipeError
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.fasttext import MAGIC, check_fasttext_file
from pipeline.judges.classifiers.hashed_ngrams import INVISIBLE, LOWER, SEPARATORS, features
from pipeline.judges.classifiers.linear import FORMAT, MAX_WEIGHT, LinearClassifier, LinearWeights
from pipeline.judges.classifiers.logistic import LIMIT, quantised_logistic
from pipeline.judges.classifiers.scores import quantised

A, B, WORD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, (1 << 64) - 1
BITS = 12
WEIGHTS = np.random.default_rng(11).integers(-(1 << 22), 1 << 22, 1 << BITS, dtype=np.int32)

PIECES = st.sampled_from(
    [
        "virus",
        "VIRUS",
        "Straße",
        "ÉTÉ",
        "Σίσυφος",
        "Москва",
        "ß",
        "İ",
        "ſ",
        "K",
        "日本語",
        "😀",
        "a" * 23,
        "b" * 24,
        "c" * 25,
        "d" * 60,
        "7",
        "_",
    ]
)
GAPS = st.sampled_from([*" \n\u00a0\u2028-…\u00ad\u200b\u3000\0\u0301\u00d7", ", ", ""])
TEXTS = st.lists(st.tuples(PIECES, GAPS), min_size=1, max_size=25).map(
    lambda parts: "x " + "".join(piece + gap for piece, gap in parts)
)


def naive_words(text: str) -> list[bytes]:
    """The rule of hashed_ngrams, one character at a time."""
    folded = ""
    for character in text:
        point = ord(character)
        if character in INVISIBLE:
            continue
        if point < 0x80:
            folded += character.lower() if character.isalnum() else " "
        elif any(first <= point <= last for first, last in SEPARATORS):
            folded += " "
        else:
            shift = [
                by
                for first, last, step, by in LOWER
                if first <= point <= last and (point - first) % step == 0
            ]
            folded += chr(point + sum(shift))
    runs = [run.encode("utf-8") for run in folded.split(" ") if run]
    return [run[at : at + 24] for run in runs for at in range(0, len(run), 24)]


def naive_hash(word: bytes) -> int:
    state = 0
    for at in range(0, len(word), 8):
        state = (state ^ int.from_bytes(word[at : at + 8], "little")) * A & WORD
        state ^= state >> 32
    return state


def naive_score(text: str, weights: LinearWeights) -> int:
    hashes = [naive_hash(word) for word in naive_words(text)]
    size, best = weights.window_words or len(hashes), -1
    for at in range(0, len(hashes), size):
        window = hashes[at : at + size]
        buckets = [one * A & WORD for one in window] + [
            (one * B + two) * A & WORD for one, two in pairwise(window)
        ]
        total = sum(int(weights.weights[bucket >> (64 - weights.bits)]) for bucket in buckets)
        best = max(best, exact_logistic(weights.bias + total // len(buckets)))
    return best


def exact_logistic(margin: int) -> int:
    getcontext().prec = 60
    margin = max(-LIMIT, min(LIMIT, margin))
    share = 1 / (1 + (Decimal(-margin) / 65536).exp())
    return int(share * 1_000_000 + Decimal("0.5"))


def classifier(window_words: int = 0, bias: int = 0) -> LinearClassifier:
    return LinearClassifier(LinearWeights(WEIGHTS, bias, window_words), "", "test")


@given(texts=st.lists(TEXTS, min_size=1, max_size=6), window_words=st.sampled_from([0, 1, 2, 3, 7]))
def test_scores_equal_the_naive_rule(texts: list[str], window_words: int) -> None:
    linear = classifier(window_words)
    assert linear.score(texts).tolist() == [naive_score(text, linear.weights) for text in texts]


@given(texts=st.lists(TEXTS, min_size=1, max_size=8), order=st.randoms(use_true_random=False))
def test_score_does_not_depend_on_neighbours_batch_or_order(texts: list[str], order) -> None:
    linear = classifier(3)
    alone = [int(linear.score([text])[0]) for text in texts]
    places = list(range(len(texts)))
    order.shuffle(places)
    assert linear.score([texts[place] for place in places]).tolist() == [
        alone[place] for place in places
    ]
    assert linear.score([*texts, "y" * 200_000, *texts]).tolist()[: len(texts)] == alone


def test_hand_computed_model() -> None:
    # Two words and their pair, one weight of 3.0 for the first word: 3 / 3 n-grams = margin 1.0;
    # with the bias of -1.0, margin 0.
    weights = np.zeros(256, np.int32)
    weights[naive_hash(b"ricin") * A % (1 << 64) >> 56] = 3 << 16
    linear = LinearClassifier(LinearWeights(weights, -1 << 16, 0), "", "test")
    assert linear.score(["Ricin garden"]).tolist() == [500_000]
    assert linear.score(["garden stone"]).tolist() == [268_941]  # 1 / (1 + e)
    assert linear.score(["ricin"]).tolist() == [880_797]  # 3 / 1 - 1 = 2: 1 / (1 + e^-2)


def test_long_document_scores_the_maximum_of_its_windows() -> None:
    linear = classifier(window_words=4)
    windows = ["one two three four", "five six seven eight", "nine ten"]
    assert int(linear.score([" ".join(windows)])[0]) == int(linear.score(windows).max())


def test_logistic_is_correctly_rounded_monotone_and_symmetric() -> None:
    margins = np.arange(-LIMIT - 3, LIMIT + 4, dtype=np.int64)
    scores = quantised_logistic(margins).astype(np.int64)
    assert (np.diff(scores) >= 0).all()
    assert scores[0] == 0
    assert scores[-1] == 1_000_000
    assert np.abs(scores + scores[::-1] - 1_000_000).max() <= 1
    for place in range(0, len(margins), 4099):
        assert scores[place] == exact_logistic(int(margins[place]))


@pytest.mark.campaign
def test_logistic_is_correctly_rounded_at_every_margin() -> None:
    getcontext().prec = 90
    bits = 256
    step, power, upper, lower = int((Decimal(-1) / 65536).exp() * (1 << bits)), 1 << bits, [], []
    for _ in range(LIMIT + 1):  # power = exp(-margin / 65536), off by less than 2^-230 at the last
        whole = (1 << bits) + power
        upper.append((2_000_000 * (1 << bits) + whole) // (2 * whole))
        lower.append((2_000_000 * power + whole) // (2 * whole))
        power = power * step >> bits
    margins = np.arange(LIMIT + 1, dtype=np.int64)
    np.testing.assert_array_equal(quantised_logistic(margins), upper)
    np.testing.assert_array_equal(quantised_logistic(-margins[1:]), lower[1:])


def test_table_of_capitals_agrees_with_python() -> None:
    for first, last, step, distance in LOWER:
        for point in range(first, last + 1, step):
            if chr(point).isalpha():
                assert chr(point).lower() == chr(point + distance), hex(point)
                assert len(chr(point).encode()) == len(chr(point + distance).encode())


def test_hidden_and_unusual_separators_do_not_change_a_score() -> None:
    linear = classifier()
    plain = "severe respiratory virus"
    same = [
        "severe\u00a0respiratory\nvirus",
        "severe-respiratory\u2014virus",
        "se\u00advere respi\u200bratory virus\ufeff",
        "SEVERE “respiratory” Virus!",
    ]
    assert len(set(linear.score([plain, *same]).tolist())) == 1


def test_megabytes_without_a_space_are_scored_in_bounded_time() -> None:
    assert classifier().score(["a" * 3_000_000, "日" * 1_000_000, " " * 3_000_000 + "x"]).shape == (
        3,
    )


@pytest.mark.parametrize("text", ["", " \n\t\u00a0", "!!! ... \u2014", "virus \ud800", "\u200b"])
def test_text_that_cannot_be_scored_is_refused_by_its_place(text: str) -> None:
    with pytest.raises(InputError, match="document 1 of the batch"):
        classifier().score(["virus", text, "virus"])


def test_no_document_makes_no_score() -> None:
    assert classifier().score([]).tolist() == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 1.1])
def test_score_that_is_no_probability_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="document 1"):
        quantised(np.array([0.5, bad]), "model")


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    LinearWeights(WEIGHTS, -77, 512).save(tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_saved_weights_come_back_and_equal_weights_make_equal_bytes(
    weights_file: Path, tmp_path: Path
) -> None:
    opened = open_classifier("linear", weights_file)
    assert isinstance(opened, LinearClassifier)
    assert (opened.weights.bias, opened.weights.window_words) == (-77, 512)
    np.testing.assert_array_equal(opened.weights.weights, WEIGHTS)
    LinearWeights(WEIGHTS.copy(), -77, 512).save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == weights_file.read_bytes()
    assert (
        open_classifier("linear", tmp_path / "again.safetensors", digest=opened.digest).digest
        == opened.digest
    )


def test_every_flipped_byte_of_the_weights_is_refused(weights_file: Path) -> None:
    pinned, content = open_classifier("linear", weights_file).digest, weights_file.read_bytes()
    for at in [*range(0, 300, 7), *range(300, len(content), 997), len(content) - 1]:
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        weights_file.write_bytes(damaged)
        with pytest.raises((InputError, ManifestError)):
            open_classifier("linear", weights_file, digest=pinned)


def test_truncated_extended_or_missing_weights_are_refused(weights_file: Path) -> None:
    content = weights_file.read_bytes()
    for damaged in (
        b"",
        content[:7],
        content[:200],
        content[:-1],
        content + b"\0",
        b"\xff" * 8 + content[8:],
        os.urandom(4096),
    ):
        weights_file.write_bytes(damaged)
        with pytest.raises(InputError):
            open_classifier("linear", weights_file)
    weights_file.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        open_classifier("linear", weights_file)


@pytest.mark.parametrize(
    ("weights", "bias"),
    [
        (WEIGHTS[:-1], np.zeros(1, np.int64)),
        (WEIGHTS.astype(np.int64), np.zeros(1, np.int64)),
        (WEIGHTS, np.zeros(2, np.int64)),
        (WEIGHTS.reshape(2, -1), np.zeros(1, np.int64)),
        (np.full(256, MAX_WEIGHT + 1, np.int32), np.zeros(1, np.int64)),
        (WEIGHTS, np.full(1, 1 << 50, np.int64)),
    ],
)
def test_weights_of_another_shape_type_or_size_are_refused(
    weights_file: Path, weights, bias
) -> None:
    metadata = {"format": FORMAT, "window_words": "512"}
    save_file({"weights": np.ascontiguousarray(weights), "bias": bias}, weights_file, metadata)
    with pytest.raises(InputError, match=r"2\^"):
        open_classifier("linear", weights_file)


def test_file_of_another_writer_is_read(weights_file: Path) -> None:
    ours = LinearClassifier.open(weights_file).weights
    bias, metadata = np.array([-77], np.int64), {"format": FORMAT, "window_words": "512"}
    save_file({"weights": WEIGHTS, "bias": bias}, weights_file, metadata)
    theirs = LinearClassifier.open(weights_file).weights
    assert (theirs.bias, theirs.window_words) == (ours.bias, ours.window_words)
    np.testing.assert_array_equal(theirs.weights, ours.weights)


def test_name_that_appears_twice_in_the_header_is_refused(weights_file: Path) -> None:
    content = weights_file.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    header = content[8:size].replace(b'"format"', b'"window_words"')
    weights_file.write_bytes(len(header).to_bytes(8, "little") + header + content[size:])
    with pytest.raises(InputError, match="appears twice"):
        LinearClassifier.open(weights_file)


def test_floating_point_weights_are_refused(weights_file: Path) -> None:
    weights_file.write_bytes(weights_file.read_bytes().replace(b'"I32"', b'"F32"'))
    with pytest.raises(InputError, match="F32"):
        open_classifier("linear", weights_file)


def test_digest_names_the_weights_and_the_window() -> None:
    assert classifier(1).digest != classifier(2).digest
    assert (
        LinearClassifier(LinearWeights(WEIGHTS, 0, 1), "ab", "x").digest
        != LinearClassifier(LinearWeights(WEIGHTS, 0, 1), "cd", "x").digest
    )


TRAIN = [(f"garden river {number} music", False) for number in range(60)] + [
    (f"garden ricin {number} abrin", True) for number in range(40)
]


def test_training_and_scores_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    script = """
import json, sys
from pipeline.judges.classifiers.linear import LinearClassifier
from pipeline.judges.classifiers.linear_training import LinearSettings, train_linear
rows = json.load(sys.stdin)
weights = train_linear(*zip(*rows), LinearSettings(bits=10, epochs=3))
linear = LinearClassifier(weights, "", "test")
print(weights.bias, weights.weights.tolist(), linear.score([text for text, _ in rows]).tolist())
"""
    found = set()
    for seed in ("0", "1", "4242"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(Path(__file__).resolve().parents[4]),
        }
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command,
            input=json.dumps(TRAIN),
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_features_of_windows_cover_every_word_once() -> None:
    found = features(["a b c d e", "f", "g h"], 16, 2, "test")
    assert found.window_words.tolist() == [2, 2, 1, 1, 2]
    assert found.document_first.tolist() == [0, 3, 4]


def tiny_fasttext(value: float = 0.5) -> bytes:
    """A .bin of one word, two labels and two dimensions, byte by byte."""
    arguments = struct.pack("<2i12id", MAGIC, 12, 2, 5, 1, 1, 5, 1, 3, 3, 0, 0, 0, 100, 1e-4)
    entries = b"".join(
        name + b"\0" + struct.pack("<qb", 3, kind)
        for name, kind in ((b"ricin", 0), (b"__label__0", 1), (b"__label__1", 1))
    )
    matrices = struct.pack("<B2q2f", 0, 1, 2, value, 1.0) + struct.pack(
        "<B2q4f", 0, 2, 2, 1.0, 2.0, 3.0, 4.0
    )
    return arguments + struct.pack("<3i2q", 3, 1, 2, 9, -1) + entries + matrices


def test_fasttext_file_is_walked_to_its_last_byte(tmp_path: Path) -> None:
    path, content = tmp_path / "model.bin", tiny_fasttext()
    path.write_bytes(content)
    assert check_fasttext_file(path) == ("__label__0", "__label__1")
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(InputError):
            check_fasttext_file(path)
    for damaged in (content + b"\0", tiny_fasttext(float("nan")), b"PK" + content):
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            check_fasttext_file(path)


def test_missing_extra_is_said_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.bin").write_bytes(tiny_fasttext())
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    for module in ("fasttext", "fasttext.FastText", "torch", "transformers"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RecipeError, match=r"pip install 'annealmix\[fasttext\]'"):
        open_classifier("fasttext", tmp_path / "model.bin")
    (tmp_path / "model.bin").unlink()
    with pytest.raises(RecipeError, match=r"pip install 'annealmix\[models\]'"):
        open_classifier("sequence", tmp_path)
