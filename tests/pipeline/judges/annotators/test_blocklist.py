"""The fast blocklist equals the naive one: on text made to break it, on planted documents, and on
real data.
"""

from __future__ import annotations

import gzip
import json
import random
import unicodedata
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import recipes
from mixtures.errors import RecipeError
from mixtures.rules.terms import MODES, matches_naive, normalise, parse_blocklist
from pipeline.judges.annotators import folding as word_folding
from pipeline.judges.annotators.blocklist import Blocklist
from tests.mixtures.rules.naive import count_distinct_naive

CONTROL_LISTS = Path(str(recipes.__file__)).parent / "filters" / "control-lists.txt"

WORDS = [
    "a",
    "ab",
    "toxin",
    "T",
    "2",
    "lassa",
    "fever",
    "virus",
    "Straße",
    "kelvin",
    "İstanbul",
    "café",
    "ﬁn",
    "ſoft",
    "encephalitis",
]
WORDS += [
    "haemorrhagic",
    "haemorrhagie",
    "結核",
    "菌",
    "μικρόβιο",
    "é",
    "東京都 1",
    "hemorrhagic fever",
]  # two differ behind 8 bytes
SEPARATORS = [*" \n\t-_\u00a0\u2010\u3000’™\x00\x1f\x85\ud800", "  ", "\r\n", ", ", ""]
SEPARATORS += "ÿ\u115f\u0345"
SEPARATORS += [*"\u00ad\u200b\ufeff\u0301\u0307\ufe0f¹\u20dd\uff9ex\U0001f9ea", "=\u0338"]
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def disguised(word: str) -> st.SearchStrategy[str]:
    """A word in one of the shapes in which it stands in the wild."""
    shapes = [word, word.upper(), word.title(), word.lower(), word.translate(FULL_WIDTH)]
    shapes += [unicodedata.normalize(form, word) for form in ("NFD", "NFKD", "NFC")]
    shapes += [word.replace("k", "\u212a").replace("s", "ſ"), "\u00ad".join(word)]
    shapes += [word[:2] + "\u200d" + word[2:], word[1:], word[:-1]]
    return st.sampled_from(shapes)


pieces = st.one_of(
    st.sampled_from(WORDS).flatmap(disguised), st.sampled_from(SEPARATORS), st.text(max_size=3)
)
texts = st.lists(pieces, max_size=25).map("".join)
clean = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5)
terms = st.lists(
    st.tuples(clean, st.sampled_from([" ", "-", "  "])).map(lambda drawn: drawn[1].join(drawn[0])),
    min_size=1,
    max_size=12,
)


def embedding(term_list: list[str]) -> st.SearchStrategy[str]:
    """A text that holds some of the terms, whole, in pieces, glued or overlapping."""
    terms_of = st.sampled_from(term_list).flatmap(disguised)
    pieces_of = st.one_of(terms_of, st.sampled_from(SEPARATORS), texts)
    return st.lists(pieces_of, max_size=6).map("".join)


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data(), batch=st.sampled_from([1, 30, 1 << 19]))
def test_counts_and_matches_equal_the_naive_ones_on_adversarial_text(mode, data, batch):
    term_list = data.draw(terms)
    documents = data.draw(st.lists(embedding(term_list), max_size=6))
    fast = Blocklist(term_list, mode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_folding, "BATCH_CHARS", batch)
        counts = fast.count(documents)
    assert counts.dtype == np.uint16
    assert counts.tolist() == [count_distinct_naive(text, term_list, mode) for text in documents]
    assert [fast.matches(text) for text in documents] == [
        matches_naive(text, term_list, mode) for text in documents
    ]


@pytest.mark.parametrize("mode", MODES)
@given(
    data=st.data(),
    alphabet=st.sampled_from(
        ["ab ", "ab- \u00e9", "a\u0301e \u00ad", "Kk\u212a ", "Σσς ", "İi\u0307 ", "sſß "]
    ),
)
def test_counts_equal_the_naive_ones_where_terms_overlap_and_nest(mode, data, alphabet):
    usable = st.text(alphabet, min_size=1, max_size=14).filter(
        lambda term: normalise(term, mode).strip() != ""
    )
    term_list = data.draw(st.lists(usable, min_size=1, max_size=12))
    documents = data.draw(st.lists(st.text(alphabet, max_size=60), max_size=4))
    expected = [count_distinct_naive(text, term_list, mode) for text in documents]
    assert Blocklist(term_list, mode).count(documents).tolist() == expected


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_another_term_never_lowers_a_count(mode, data):
    term_list = data.draw(terms)
    documents = data.draw(st.lists(embedding(term_list), max_size=4))
    counts = [
        Blocklist(term_list[:size], mode).count(documents) for size in range(1, len(term_list) + 1)
    ]
    assert (np.diff(np.array(counts, np.int64), axis=0) >= 0).all()


@given(
    data=st.data(),
    wrap=st.sampled_from(
        ["\n", "\u00a0", "-", " \r\n\t", "\u2011", "_", "\u00ad \u200b", "\u3000", "\x00"]
    ),
)
def test_what_separates_words_makes_no_difference_in_words_mode(data, wrap):
    term_list = data.draw(terms)
    text = data.draw(embedding(term_list))
    fast = Blocklist(term_list, "words")
    assert fast.matches(text.replace(" ", wrap)) == fast.matches(text)


@pytest.mark.parametrize("mode", MODES)
def test_a_count_depends_on_its_text_alone(mode):
    fast, draw = Blocklist(["lassa fever virus", "fever", "café au lait"], mode), random.Random(5)
    documents = [
        "".join(draw.choices([*WORDS, " ", "\u00ad", "’"], k=12)) + " lassa fever virus"
        for _ in range(300)
    ]
    together = fast.count(documents)
    assert together.tolist() == [int(fast.count([text])[0]) for text in documents]
    order = draw.sample(range(300), 300)
    assert fast.count([documents[place] for place in order]).tolist() == together[order].tolist()
    assert fast.count([]).tolist() == []
    assert fast.count(["", " ", "lassa"]).tolist() == [0, 0, 0]


def test_documents_do_not_run_into_one_another():
    for mode in MODES:
        fast = Blocklist(["lassa fever virus", "fever virus"], mode)
        counts = fast.count(["lassa fever", "virus", "lassa", "fever virus", ""])
        assert counts.tolist() == [0, 0, 0, 1, 0]


def test_words_of_one_beginning_are_told_apart():
    fast = Blocklist(["haemorrhagic fever", "infections"], "words")
    counts = fast.count(["haemorrhagie fever", "infectious", "haemorrhagic fever infections"])
    assert counts.tolist() == [0, 0, 2]


@given(
    st.lists(
        st.text("aZ\0\1 -éÉßſİıΣσς\u0130\u2126\u212a漢Ⰰⰰ\ua640\U0001f600\U00010400\ud800")
        | st.text()
    )
)
def test_published_terms_are_looked_for_in_the_lower_case_of_each_text(documents):
    """Each text's own characters are terms, so every one is where `str.lower` puts it."""
    lowered = [text.lower() for text in documents]
    pieces = [text[at : at + size] for text in lowered for at in range(3) for size in (1, 4, 9, 12)]
    term_list = [piece for piece in pieces if piece.strip() and "\ud800" not in piece] or ["a"]
    counts = Blocklist(term_list, "published").count(documents)
    assert counts.tolist() == [
        sum(needle in text for needle in {piece.lower() for piece in term_list}) for text in lowered
    ]


def test_more_terms_than_fit_saturate():
    words = [f"w{number}" for number in range(65_540)]
    fast = Blocklist(words, "words")
    counts = fast.count([" ".join(words), " ".join(words[:65_534]), "w1"])
    assert counts.tolist() == [65_535, 65_534, 1]


def test_a_blocklist_without_terms_is_refused():
    with pytest.raises(RecipeError, match="no term"):
        Blocklist([], "words")


# --- many terms, real text


@cache
def many_terms(vocabulary: tuple[str, ...], count: int = 6_178) -> list[str]:
    """As many terms as the published blocklist has, of one to four words."""
    draw = random.Random(7)
    made: dict[str, None] = {}
    while len(made) < count:
        made[" ".join(draw.choices(vocabulary, k=draw.choice([1, 2, 2, 2, 3, 3, 4])))] = None
    return list(made)


@pytest.mark.parametrize("mode", MODES)
def test_planted_terms_of_a_list_of_6178_are_all_found(mode):
    draw = random.Random(11)
    letters = "aeioulnrstbcdmpévß"
    made = {"".join(draw.choices(letters, k=draw.randint(3, 12))) for _ in range(4_000)}
    vocabulary = tuple(sorted(made))
    term_list = many_terms(vocabulary)
    fast = Blocklist(term_list, mode)
    assert len(fast) == len({normalise(term, mode) for term in term_list})
    documents, planted = [], []
    for _ in range(150):
        chosen = draw.sample(term_list, draw.randint(0, 4))
        parts: list[str] = []
        for term in (*chosen, ""):
            parts += [*draw.choices(vocabulary, k=draw.randint(0, 80)), term]
        documents.append(" ".join(parts))
        planted.append({normalise(term, mode) for term in chosen})
    found = [{normalise(term, mode) for term in fast.matches(text)} for text in documents]
    assert all(wanted <= have for wanted, have in zip(planted, found, strict=True))
    sample = range(0, len(documents), 10)
    assert [len(found[place]) for place in sample] == [
        count_distinct_naive(documents[place], term_list, mode) for place in sample
    ]
    if mode == "words":
        wrapped = [text.replace(" ", "\u00a0\r\n") for text in documents]
        assert fast.count(wrapped).tolist() == fast.count(documents).tolist()


def shared_texts(data: Path) -> Iterator[str]:
    """Every text of the real data, in a fixed order, as far as a text column or a JSON line holds
    it.
    """
    for path in sorted(data.rglob("*")):
        if path.suffix in (".gz", ".zst"):
            content = path.read_bytes()
            packed = zstandard.ZstdDecompressor().stream_reader(content)
            plain = gzip.decompress(content) if path.suffix == ".gz" else packed.read()
            yield from (json.loads(line)["text"] for line in plain.splitlines())
        elif path.suffix == ".parquet":
            yield from pq.read_table(path, columns=["text"]).column("text").to_pylist()
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                yield from (archive.read(name).decode() for name in sorted(archive.namelist()))
        elif path.suffix in (".jsonl", ".txt"):
            yield from path.read_text(encoding="utf-8").splitlines()


def compare_on(documents: list[str], term_list: list[str], mode) -> int:
    """Compare fast and naive on all documents; the naive search over forms made once. Returns how
    many documents hold a term.
    """
    fast = Blocklist(term_list, mode)
    pad = " " if mode == "words" else ""
    needles = [f"{pad}{needle}{pad}" for needle in fast.rule.needles]
    forms = [f"{pad}{normalise(text, mode)}{pad}" for text in documents]
    expected = [sum(needle in form for needle in needles) for form in forms]
    assert fast.count(documents).tolist() == expected
    return sum(count > 0 for count in expected)


def control_terms(mode) -> list[str]:
    return list(parse_blocklist(CONTROL_LISTS.read_bytes(), CONTROL_LISTS.name, mode))


@pytest.mark.parametrize("mode", MODES)
def test_fast_equals_naive_on_a_sample_of_the_real_documents(mode, shared):
    documents = list(shared_texts(shared / "data"))[::97]
    pieces = [word for text in documents[::5] for word in text.split()[:40]]
    common = ["virus", "the", "of the", "bacillus", "data set", "’s"]
    term_list = [*control_terms(mode), *common, *many_terms(tuple(pieces), 300)]
    term_list = [term for term in term_list if normalise(term, mode).strip()]
    assert compare_on(documents, term_list, mode) > len(documents) / 2


@pytest.mark.campaign
@pytest.mark.parametrize("mode", MODES)
def test_fast_equals_naive_on_every_real_document(mode, shared):
    documents = list(shared_texts(shared / "data"))
    words = {word for text in documents[::50] for word in text.split() if 3 < len(word) < 20}
    vocabulary = tuple(sorted(words))
    term_list = [*control_terms(mode), *many_terms(vocabulary, 60)]
    term_list = [term for term in term_list if normalise(term, mode).strip()]
    assert compare_on(documents, term_list, mode) > 0


@pytest.mark.campaign
@pytest.mark.parametrize("mode", MODES)
def test_fast_equals_naive_with_6178_terms_on_real_documents(mode, shared):
    documents = list(shared_texts(shared / "data"))[::400]
    words = {word for text in documents for word in text.split() if 3 < len(word) < 20}
    vocabulary = tuple(sorted(words))
    term_list = [term for term in many_terms(vocabulary) if normalise(term, mode).strip()]
    assert compare_on(documents, term_list, mode) > 0


# --- the shipped list


def test_the_shipped_list_is_sorted_names_without_doubles():
    lines = CONTROL_LISTS.read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if not line.startswith("#")]
    assert names == sorted(names, key=str.casefold)
    assert list(control_terms("words")) == names
    assert sum(line.startswith("# Source:") for line in lines) == 2


def test_the_shipped_list_holds_every_name_of_the_two_lists_that_it_merges(shared):
    fast = Blocklist(control_terms("words"), "words")
    for path in sorted((shared / "data" / "blocklist").glob("*.txt")):
        names = parse_blocklist(path.read_bytes(), path.name, "words")
        assert all(fast.matches(name) for name in names), path.name
