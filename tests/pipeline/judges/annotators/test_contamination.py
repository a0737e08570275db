"""The decontamination annotator equals the naive rule, whatever collides, and finds planted items
among real documents and no others.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError
from mixtures.rules.benchmark import Benchmark, EvaluationSet, Item, LoadedBenchmark, Match
from pipeline.judges.annotators import folding as word_folding
from pipeline.judges.annotators.contamination import ContaminationIndex
from pipeline.judges.annotators.evaluation_sets import read_benchmark
from pipeline.judges.annotators.folding import BASE
from pipeline.judges.annotators.ngram_table import Coverage
from tests.mixtures.rules.naive import (
    contamination_naive,
    fold_evaluation,
    item_ngrams,
    text_ngrams,
)

COLLIDING = 0  # as base: the hash of a run of words is that of its last word

WORDS = [
    "a",
    "b",
    "A",
    "international",
    "internationale",
    "Straße",
    "e\u0301",
    "\u0301",
    "2\u00b2",
    "½",
    "éÉ",
    "漢",
    "ﬁn",
    "\ud800",
    "\0",
    "\u0430\u0435",
    "\u0430\u0301",
    "o\u00b2\u0301",
    "&eacute;",
    "<b>",
    "<sup>1</sup>",
    "[2]",
    "\\frac",
    "12",
]
SPACES = [*" \n\u00a0-\u00ad\0™’\u2028\u02bc", "  ", "", " \0 ", "-\n", "\n1. ", "\n2. ", "<br>"]

texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES)), max_size=30).map(
    lambda parts: "".join(word + space for word, space in parts)
)


def definition(name: str = "mine", **changes) -> Benchmark:
    stated = {
        "name": name,
        "files": [{"path": "mine.jsonl", "sha256": "0" * 64}],
        "format": "jsonl",
        "columns": "lambada",
        "ngram": 3,
    }
    return Benchmark.model_validate(stated | changes)


def evaluation(*item_texts: str, name: str = "mine", **changes) -> EvaluationSet:
    return EvaluationSet(
        definition(name, **changes),
        tuple(Item(f"f:{n}", (text,)) for n, text in enumerate(item_texts, start=1)),
    )


@st.composite
def sets(draw) -> list[EvaluationSet]:
    made = []
    for name in "xyz"[: draw(st.integers(1, 3))]:
        ngram = draw(st.integers(3, 9))
        rule = definition(
            name,
            ngram=ngram,
            shortest=draw(st.integers(3, ngram)),
            overlap=draw(st.decimals(0, 1, places=2)),
            shared=draw(st.integers(2, 3)),
            max_missed=1,
        )
        groups = draw(st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=4))
        made.append(
            EvaluationSet(
                rule, tuple(Item(f"f:{n}", tuple(group)) for n, group in enumerate(groups))
            )
        )
    return made


@given(
    data=st.data(),
    made=sets(),
    base=st.sampled_from([BASE, COLLIDING, 2]),
    batch=st.sampled_from([1, 30, 1 << 18]),
)
def test_counts_and_matches_equal_the_naive_ones_on_adversarial_text(data, made, base, batch):
    indexed = [any(item_ngrams(one)) for one in made]
    if not all(indexed):
        with pytest.raises(
            InputError,
            match=f"evaluation set {made[indexed.index(False)].definition.name}: none of its",
        ):
            ContaminationIndex(made, base=base)
        return
    held = st.sampled_from([text for one in made for item in one.items for text in item.texts])
    documents = data.draw(st.lists(st.lists(texts | held, max_size=4).map(" ".join), max_size=5))
    index = ContaminationIndex(made, base=base)
    naive = [contamination_naive(document, made) for document in documents]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_folding, "BATCH_CHARS", batch)
        annotation = index.annotate(documents)
    assert annotation.counts.dtype == np.uint32
    assert annotation.counts.tolist() == [count for count, _ in naive]
    assert [index.matches(document) for document in documents] == [matches for _, matches in naive]
    assert annotation.documents.tolist() == [
        number for number, (_, matches) in enumerate(naive) for _ in matches
    ]
    named = [
        index.match(item, found)
        for item, found in zip(annotation.items.tolist(), annotation.held.tolist(), strict=True)
    ]
    assert named == [match for _, matches in naive for match in matches]
    distinct = [set().union(*item_ngrams(one)) for one in made]
    assert len(index) == len(set().union(*distinct))
    assert [one.ngrams for one in index.coverage] == [len(ngrams) for ngrams in distinct]


def test_a_colliding_hash_matches_nothing():
    index = ContaminationIndex([evaluation("one two three", "six two three")], base=COLLIDING)
    assert len(index) == 2
    assert index.count(
        ["four two three", "one two threes three", "one five three", "six two three"]
    ).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("size", range(3, 20))
def test_an_ngram_is_found_wherever_it_starts_and_not_across_documents(size):
    words = [f"w{number}" for number in range(size)]
    index = ContaminationIndex([evaluation(" ".join(words), ngram=size)])
    for ahead in range(20):
        filler = "x " * ahead
        assert index.count(
            [filler + " ".join(words), "", filler + " ".join([*words, "y"])]
        ).tolist() == [1, 0, 1]
        assert index.count([filler + " ".join(words[:-1]), words[-1] + filler]).tolist() == [0, 0]


def test_short_texts_are_matched_whole_and_shorter_ones_are_counted_as_not_indexed():
    items = evaluation("one two three four", "one two", "aa bb cc dd ee ff gg", ngram=6, shortest=4)
    index = ContaminationIndex([items, evaluation("xx yy zz", name="other")])
    assert index.coverage == (
        Coverage("mine", 3, 1, 3, {"f:2": "short"}),
        Coverage("other", 1, 0, 1, {}),
    )
    assert index.matches("zero One, two; three-four five") == [Match("mine", "f:1", 1, 1)]
    assert index.matches("one two three") == []
    assert index.matches("xx yy zz aa bb cc dd ee ff") == [
        Match("mine", "f:3", 1, 2),
        Match("other", "f:1", 1, 1),
    ]


def test_items_below_their_overlap_do_not_count():
    index = ContaminationIndex([evaluation("aa bb cc dd ee", "cc dd ee", overlap=Decimal("0.67"))])
    assert index.matches("aa bb cc dd") == []
    assert index.matches("bb cc dd ee") == [Match("mine", "f:2", 1, 1)]
    assert index.count(["aa bb cc dd", "bb cc dd ee", "aa bb cc dd ee"]).tolist() == [0, 1, 3]
    assert ContaminationIndex([evaluation("aa bb cc dd ee", overlap=Decimal("0.66"))]).count(
        ["aa bb cc dd"]
    ).tolist() == [2]


def test_a_document_may_hold_more_ngrams_than_words():
    passage = " ".join(f"w{number}" for number in range(70_000))
    index = ContaminationIndex(
        [evaluation(passage, name=f"by-{ngram}", ngram=ngram) for ngram in (3, 4, 9)]
    )
    assert index.count(["x", f"{passage} {passage}"]).tolist() == [0, 69_998 + 69_997 + 69_992]


def test_a_set_without_ngrams_is_refused():
    with pytest.raises(
        InputError, match=r"other: none of its 2 items can be looked for: 2 too short \(f:1, f:2\);"
    ):
        ContaminationIndex([evaluation("aa bb cc"), evaluation("aa bb", "", name="other")])


def test_sets_are_indexed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path))
    made = [evaluation("aa bb cc dd", "aa bb"), evaluation("ee ff gg", name="other")]
    document = "zz aa bb cc dd ee ff gg"
    first = ContaminationIndex(made)
    monkeypatch.setattr(
        "pipeline.judges.annotators.contamination.indexed", lambda *_: pytest.fail("once more")
    )
    second = ContaminationIndex(made)
    assert second.coverage == first.coverage
    assert second.matches(document) == first.matches(document) != []
    for other in ([made[1], made[0]], made[1:], [evaluation("aa bb cc dd", "aa bc"), made[1]]):
        with pytest.raises(pytest.fail.Exception, match="once more"):
            ContaminationIndex(other)


def test_nothing_to_annotate_is_annotated():
    index = ContaminationIndex([evaluation("aa bb cc")])
    assert [len(column) for column in index.annotate([])] == [0, 0, 0, 0]
    assert index.count(["", "\ud800"]).tolist() == [0, 0]


def test_importing_the_annotator_does_not_import_the_compiler():
    code = (
        "import sys, pipeline.judges.annotators.contamination,"
        " pipeline.judges.annotators.evaluation_sets; sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PRESETS = {
    "hellaswag": "hellaswag.jsonl",
    "lambada": "lambada_openai_test.jsonl",
    "mmlu": "mmlu.jsonl",
    "piqa": "piqa_validation.jsonl",
    "wmdp": "wmdp_bio_SCHEMA_STANDIN.jsonl",
}


@pytest.fixture(scope="module")
def real_sets(shared: Path) -> list[EvaluationSet]:
    folder = shared / "data" / "bench"
    made = []
    for name, file in PRESETS.items():
        pin = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        rule = definition(name, files=[{"path": file, "sha256": pin}], columns=name, ngram=13)
        made.append(read_benchmark(LoadedBenchmark(rule, folder, f"{name}.yaml")))
    return made


@pytest.fixture(scope="module")
def sources(shared: Path) -> dict[str, list[str]]:
    """Documents of three sources."""
    found = {}
    for name in ("dolmino-flan", "dolmino-stackexchange", "dolmino-wiki"):
        with gzip.open(
            sorted((shared / "data" / name).glob("*.gz"))[0], "rt", encoding="utf-8"
        ) as rows:
            found[name] = [json.loads(row)["text"] for row in rows][:600]
    return found


class Wanted:
    """All n-grams of all sets in one Python set for each size: a second oracle, quick enough for
    whole sources.
    """

    def __init__(self, made: Sequence[EvaluationSet]) -> None:
        self.by_size: dict[int, set[str]] = {}
        for ngram in {ngram for one in made for ngrams in item_ngrams(one) for ngram in ngrams}:
            self.by_size.setdefault(ngram.count(" ") + 1, set()).add(ngram)

    def held(self, text: str) -> set[str]:
        words = fold_evaluation(text).split()
        runs = {
            size: [" ".join(words[at : at + size]) for at in range(len(words) - size + 1)]
            for size in self.by_size
        }
        return {run for size, found in runs.items() for run in found if run in self.by_size[size]}


def disguised(draw: random.Random, text: str) -> str:
    """The same words, told apart by no reader."""
    between = draw.choice([" ", "\n", "\u00a0", "\u2009 "])
    return between.join(
        draw.choice([word, word.upper(), f"*{word}*"]) if word.isascii() else word
        for word in text.split()
    )


def planted(draw: random.Random, document: str, inserts: list[str]) -> str:
    """The document with texts between its words, none inside another."""
    words = document.split(" ")
    for cut, text in sorted(
        ((draw.randrange(len(words) + 1), disguised(draw, text)) for text in inserts), reverse=True
    ):
        words.insert(cut, text)
    return " ".join(words)


def test_planted_items_are_found_in_three_sources_and_nothing_else_is(real_sets, sources):
    draw = random.Random(4)
    index, wanted = ContaminationIndex(real_sets), Wanted(real_sets)
    for name, documents in sources.items():
        inserts: dict[int, list[str]] = {}
        expected: dict[int, set[tuple[str, str]]] = {}
        for one in real_sets:
            own = dict(zip(one.items, item_ngrams(one), strict=True))
            items = [item for item in one.items if own[item]]
            for item in draw.sample(items, 20):
                place = draw.randrange(0, len(documents), 2)
                inserts.setdefault(place, []).append(
                    draw.choice(
                        [
                            text
                            for text in item.texts
                            if text_ngrams(text, one.definition) & own[item]
                        ]
                    )
                )
                expected.setdefault(place, set()).add((one.definition.name, item.where))
        mixed = [
            planted(draw, text, inserts[place]) if place in inserts else text
            for place, text in enumerate(documents)
        ]
        counts = index.count(mixed).tolist()
        assert counts == [len(wanted.held(document)) for document in mixed], name
        assert not any(counts[1::2]), name
        for place, items_there in expected.items():
            assert items_there <= {match[:2] for match in index.matches(mixed[place])}, name


def test_matches_of_real_items_equal_the_naive_ones(real_sets):
    index = ContaminationIndex(real_sets)
    for one in real_sets:
        for item in one.items[:2]:
            document = f"Some words before. {item.texts[-1]} And some after."
            assert (
                int(index.count([document])[0]),
                index.matches(document),
            ) == contamination_naive(document, real_sets)


@pytest.mark.campaign
def test_no_real_document_is_called_contaminated_that_shares_no_ngram(real_sets, shared):
    index, wanted = ContaminationIndex(real_sets), Wanted(real_sets)
    for path in sorted((shared / "data").rglob("*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            documents = [json.loads(row)["text"] for row in rows]
        assert index.count(documents).tolist() == [
            len(wanted.held(document)) for document in documents
        ], path.name
