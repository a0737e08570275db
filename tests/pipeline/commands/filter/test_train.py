"""`train_filter`: the split, the curve, the picked threshold and the files, on documents of the
shipped sample.

A document of the toy set is positive if names of the shipped public list were put into it. Names
are all that it holds.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError, RecipeError
from mixtures.keys import key_bound, text_digest
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.curve import Curve
from pipeline.judges.classifiers.labelled import LabelColumns, held_out, read_labelled
from pipeline.judges.classifiers.linear_training import LinearSettings
from pipeline.judges.classifiers.training import Goal, TrainedFilter, train_filter

NAMES = [
    "Abrin",
    "Ricin",
    "Bacillus anthracis",
    "Nipah virus",
    "Hendra virus",
    "Lassa virus",
    "Conotoxin",
    "Variola virus",
]
SETTINGS = LinearSettings(bits=14, epochs=6)
Row = dict[str, str | int]


@pytest.fixture(scope="module")
def rows(sample_data: Path) -> list[Row]:
    source, texts = random.Random(9), []
    for path in sorted((sample_data / "dolmino-flan").glob("*.json.gz")) + sorted(
        (sample_data / "dolmino-wiki").glob("*.json.gz")
    ):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            try:
                texts.append(json.loads(line)["text"])
            except (ValueError, KeyError, TypeError):
                continue  # the sample plants bad rows
    texts = sorted(
        {
            text
            for text in texts
            if isinstance(text, str) and any(map(str.isalnum, text)) and "\ud83d" not in text
        }
    )[:500]
    found: list[Row] = []
    for text in texts:
        positive = source.random() < 0.3
        named = (
            f"{text} {' and '.join(source.sample(NAMES, 3))} are named here." if positive else text
        )
        found.append({"text": named, "label": int(positive)})
    return found


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> TrainedFilter:
    folder = tmp_path_factory.mktemp("trained")
    return train_filter(
        [write(folder / "a.jsonl", rows)],
        folder / "filter",
        goal=Goal("recall", Decimal("0.9")),
        settings=SETTINGS,
    )


def test_held_out_documents_are_told_apart(trained: TrainedFilter) -> None:
    assert trained.chosen.recall is not None
    assert trained.chosen.precision is not None
    assert trained.chosen.recall >= 900_000
    assert trained.chosen.precision >= 900_000


def test_report_is_whole_numbers_and_text_and_agrees_with_a_recount(
    trained: TrainedFilter, rows: list[Row]
) -> None:
    def refuse(number: str) -> None:
        raise AssertionError(number)

    report = json.loads((trained.folder / "report.json").read_text(), parse_float=refuse)
    assert report["documents"] == asdict(trained.documents)
    assert report["rule"] == trained.rule
    classifier = open_classifier(
        "linear", trained.folder / "weights.safetensors", digest=report["classifier"]["digest"]
    )
    held = {
        str(row["text"]): row["label"]
        for row in rows
        if held_out(text_digest(str(row["text"])), key_bound(Decimal("0.2")))
    }
    scores = dict(zip(held, classifier.score(list(held)).tolist(), strict=True))
    assert sum(report["documents"]["held_out"].values()) == len(held)
    for point in [report["chosen"], *report["curve"]]:
        flagged = [text for text in held if scores[text] > point["threshold"]]
        assert point["true_positives"] == sum(held[text] == 1 for text in flagged)
        assert point["false_positives"] == sum(held[text] == 0 for text in flagged)
        assert point["recall"] == round(
            Fraction(point["true_positives"], sum(map(int, held.values()))) * 1_000_000
        )


def test_picture_is_an_svg_with_three_curves(trained: TrainedFilter) -> None:
    root = ElementTree.fromstring((trained.folder / "curve.svg").read_text(encoding="utf-8"))
    assert root.tag.endswith("}svg")
    lines = [
        element.attrib["d"]
        for element in root.iter()
        if element.tag.endswith("}path") and element.attrib.get("stroke-width") == "2"
    ]
    assert len([line for line in lines if line.count("L") > 1]) == 3
    text = " ".join(root.itertext())
    for name in ("recall", "precision", "removed"):
        assert f"{name} 0." in text or f"{name} 1." in text


def test_without_the_extra_all_is_written_but_the_picture(
    rows: list[Row], trained: TrainedFilter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    plain = train_filter(
        [write(tmp_path / "a.jsonl", rows)],
        tmp_path / "filter",
        goal=Goal("recall", Decimal("0.9")),
        settings=SETTINGS,
    )
    assert sorted(path.name for path in plain.folder.iterdir()) == [
        "report.json",
        "weights.safetensors",
    ]
    assert (plain.digest, plain.points) == (trained.digest, trained.points)


def contents(rows: list[Row]) -> set[str]:
    return {unicodedata.normalize("NFC", str(row["text"])) for row in rows}


def test_order_copies_and_format_change_neither_weights_nor_curve(
    rows: list[Row], trained: TrainedFilter, tmp_path: Path
) -> None:
    shuffled = random.Random(2).sample(rows, len(rows))
    paths = [
        write(tmp_path / "b.parquet", shuffled[:200]),
        write(tmp_path / "c.jsonl", shuffled[150:]),
    ]
    again = train_filter(
        paths, tmp_path / "filter", goal=Goal("recall", Decimal("0.9")), settings=SETTINGS
    )
    assert again.documents.copies == len(rows) + 50 - len(contents(rows))
    assert again.digest == trained.digest
    assert again.points == trained.points
    for name in ("weights.safetensors", "curve.svg"):
        assert (again.folder / name).read_bytes() == (trained.folder / name).read_bytes()


def test_weights_are_the_golden_ones_on_every_machine(tmp_path: Path) -> None:
    rows: list[Row] = [
        {
            "text": f"garden {'ricin ' * (number % 3 == 0)}river {number}",
            "label": int(number % 3 == 0),
        }
        for number in range(200)
    ]
    made = train_filter(
        [write(tmp_path / "a.jsonl", rows)],
        tmp_path / "filter",
        settings=LinearSettings(bits=10, epochs=3),
    )
    digest = hashlib.sha256((made.folder / "weights.safetensors").read_bytes()).hexdigest()
    assert digest == "073f878f3e1350b8dc6bb39619060cf227cc647e1e8424852246cbc2ddd98649"


def test_copies_never_lie_on_both_sides_of_the_split(rows: list[Row], tmp_path: Path) -> None:
    found = read_labelled(
        [write(tmp_path / "a.jsonl", rows + rows), write(tmp_path / "b.jsonl", rows)]
    )
    assert len(found.documents) == len(contents(rows))
    assert found.num_copies == 3 * len(rows) - len(found.documents)
    assert [document.digest for document in found.documents] == sorted(
        document.digest for document in found.documents
    )


SCORES = st.lists(
    st.tuples(st.integers(0, 1_000_000) | st.integers(0, 5), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({positive for _, positive in rows}) == 2)


def curve_of(rows: list[tuple[int, bool]]) -> Curve:
    return Curve(
        np.array([score for score, _ in rows], np.uint32),
        np.array([positive for _, positive in rows]),
    )


@given(rows=SCORES, wanted=st.fractions(min_value=Fraction(1, 100), max_value=1))
def test_threshold_for_a_recall_is_the_largest_that_reaches_it(
    rows: list[tuple[int, bool]], wanted: Fraction
) -> None:
    positive = [score for score, label in rows if label]

    def recall(threshold: int) -> Fraction:
        return Fraction(sum(score > threshold for score in positive), len(positive))

    if recall(0) < wanted:
        with pytest.raises(InputError, match="score 0"):
            curve_of(rows).for_recall(wanted)
        return
    threshold = curve_of(rows).for_recall(wanted)
    assert recall(threshold) >= wanted
    assert recall(threshold + 1) < wanted


@given(rows=SCORES, wanted=st.fractions(min_value=0, max_value=Fraction(99, 100)))
def test_threshold_for_a_removal_rate_is_the_smallest_that_keeps_to_it(
    rows: list[tuple[int, bool]], wanted: Fraction
) -> None:
    def removal(threshold: int) -> Fraction:
        return Fraction(sum(score > threshold for score, _ in rows), len(rows))

    threshold = curve_of(rows).for_removal(wanted)
    assert removal(threshold) <= wanted
    assert threshold == 0 or removal(threshold - 1) > wanted


@given(rows=SCORES, threshold=st.integers(0, 1_000_000))
def test_counts_of_the_curve_add_up(rows: list[tuple[int, bool]], threshold: int) -> None:
    point = curve_of(rows).at(threshold)
    assert point.true_positives + point.false_positives == sum(
        score > threshold for score, _ in rows
    )
    assert point.true_positives + point.false_negatives == sum(positive for _, positive in rows)
    assert (
        point.true_positives + point.false_positives + point.false_negatives + point.true_negatives
        == len(rows)
    )


def test_labels_may_be_words_when_the_positive_one_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.parquet", [{"body": "one", "kind": "hazard"}, {"body": "two", "kind": "fine"}]
    )
    found = read_labelled([path], LabelColumns("body", "kind", "hazard"))
    assert {document.text: document.positive for document in found.documents} == {
        "one": True,
        "two": False,
    }
    with pytest.raises(InputError, match="0, 1, false or true"):
        read_labelled([path], LabelColumns("body", "kind"))


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"text": "x"}',
        '{"text": null, "label": 1}',
        '{"text": " ", "label": 1}',
        '{"text": "x", "label": 2}',
        '{"text": "x", "label": null}',
        '{"text": "x", "label": "1"}',
        '{"text": "\\ud800", "label": 1}',
        '{"text": "x", "label": 0.5}',
    ],
)
def test_row_that_is_no_labelled_document_is_refused_with_file_and_row(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine", "label": 0}\n' + line + "\n")
    with pytest.raises(InputError, match=r"a\.jsonl: row 1"):
        read_labelled([tmp_path / "a.jsonl"])


def test_contradicting_copies_are_refused_with_both_places(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        [{"text": "x", "label": 0}, {"text": "y", "label": 0}, {"text": "x", "label": 1}],
    )
    with pytest.raises(InputError, match=r"row 2: .*row 0"):
        read_labelled([path])


def test_what_cannot_be_trained_on_is_refused(rows: list[Row], tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(RecipeError, match="above 0"):
        train_filter(
            [path], tmp_path / "filter", goal=Goal("recall", Decimal(2)), settings=SETTINGS
        )
    with pytest.raises(InputError, match="both classes"):
        train_filter(
            [write(tmp_path / "b.jsonl", [row for row in rows if row["label"] == 0])],
            tmp_path / "other",
            settings=SETTINGS,
        )
    with pytest.raises(RecipeError, match="jsonl"):
        read_labelled([write(tmp_path / "a.csv", rows)])
    with pytest.raises(InputError, match="cannot be read"):
        read_labelled([tmp_path / "absent.jsonl"])
