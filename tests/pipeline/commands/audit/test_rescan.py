"""`annealmix audit --filter`: what is flagged in a finished mix is found and named, counts are
exact, and no text is printed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recipes
from mixtures.keys import order_key
from pipeline.commands.audit import rescan as rescoring
from pipeline.commands.audit.rescan import Scored, agreement, smallest
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.linear import LinearClassifier, LinearWeights
from pipeline.judges.filter import Filter
from pipeline.lookup import documents as rescan_documents
from tests.mixtures.audit.forged_mix import forge, part
from tests.mixtures.rules.naive import count_distinct_naive
from tests.pipeline.command_line import Ended, fails, run
from tests.pipeline.corpus import (
    Document,
    make,
    nfc,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)
from tests.pipeline.tokens.test_tokenizer import published_texts

TERMS = ("Abrin", "Ricin", "Lassa virus", "caf\u00e9")
SECRET = "zanzibarian"  # a word of the documents that name terms; no output may hold it
TOKENIZER = Path(recipes.__file__).parent / "sample" / "tokenizer.json"
ONE = 1 << 16
NAMED = [
    f"{SECRET} {number} " + " and ".join(TERMS[: number % 4]) + f" near the old mill {number}"
    for number in range(40)
]
CLEAN = [text for text in NAMED if count_distinct_naive(text, TERMS, "words") < 2]


def write_filter(
    folder: Path,
    weights: LinearWeights | None = None,
    above: str = "0.5",
    name: str = "toy",
    **pins: Any,
) -> Path:
    """A filter over TERMS. weights: of its classifier, which must score as the golden texts say."""
    folder.mkdir(exist_ok=True)
    content = "\n".join(TERMS).encode()
    (folder / "terms.txt").write_bytes(content)
    golden = [{"text": "Abrin and Ricin", "flagged": True}, {"text": "tea", "flagged": False}]
    blocklist = {
        "file": "terms.txt",
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": "words",
        **pins,
    }
    fields: dict[str, Any] = {"name": name, "blocklist": blocklist, "golden": golden}
    if weights is not None:
        weights.save(folder / "weights.safetensors")
        digest = open_classifier("linear", folder / "weights.safetensors").digest
        fields["classifier"] = {
            "kind": "linear",
            "path": "weights.safetensors",
            "digest": digest,
            "threshold": above,
        }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(fields))
    return path


def build(folder: Path, named: list[str], **more: Any) -> Path:
    """A mix of two sources; documents of the second may name terms."""
    texts = {"plain": prose(1, 60), "named": [*prose(2, 50), *named]}
    for name, rows in texts.items():
        write_files(folder / "data", name, sharded(rows, 2))
    sources = {name: {"all": True} for name in texts}
    make(
        write_recipe(folder / "recipes", more.pop("sources", sources), **more),
        folder,
        folder / "data",
    )
    return folder / "out"


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("mix"), NAMED)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_filter(tmp_path / "toy")


@pytest.fixture(autouse=True)
def small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescan_documents, "SHARE_TOKENS", 300)


def check(ended: Ended, name: str) -> dict[str, Any]:
    return next(check for check in ended.answer["checks"] if check["name"] == name)


def audit(*words: str | Path) -> Ended:
    """An audit with --json; the same without prints a table, ends alike, and neither prints a text
    or a term.
    """
    words = (*words, "--workers", "1")
    ended, table = run("audit", *words, "--json"), run("audit", *words)
    assert ended.code == table.code, table.err
    assert "Traceback" not in ended.err + table.err
    for printed in (ended.out, ended.err, table.out, table.err):
        assert not any(word in printed for word in (SECRET, "Abrin", "Lassa"))
    return ended


def naive(documents: list[Document]) -> list[int]:
    return [count_distinct_naive(document.text, TERMS, "words") for document in documents]


def places(documents: list[Document]) -> list[tuple[int, str, int, bool]]:
    counted = zip(documents, naive(documents), strict=True)
    return [
        (at, document.source, terms, document.cut)
        for at, (document, terms) in enumerate(counted)
        if terms >= 2
    ]


def found_places(ended: Ended) -> list[tuple[int, str, int, bool]]:
    return [
        (one["document"], one["source"], one["terms"], one["cut"])
        for one in ended.answer["filters"][0]["flagged_documents"]
    ]


def test_one_flagged_document_in_a_finished_mix_fails_the_audit_and_is_named(tmp_path, toy):
    mix = build(tmp_path, [*CLEAN, f"{SECRET} Abrin and ricin"])
    at = next(at for at, document in enumerate(read_mix(mix)) if "ricin" in document.text)
    ended = audit(mix, "--filter", toy)
    assert (ended.code, ended.answer["passed"]) == (3, False)
    assert [one["name"] for one in ended.answer["checks"] if not one["ok"]] == ["filter toy"]
    assert f"document {at:,} of named (2 distinct terms)" in check(ended, "filter toy")["detail"]
    assert found_places(ended) == [(at, "named", 2, False)]
    assert f"document {at:,} of named" in run("audit", mix, "--filter", toy).out


def test_a_mix_without_a_flagged_document_passes(tmp_path, toy):
    ended = audit(build(tmp_path, CLEAN), "--filter", toy)
    assert (ended.code, found_places(ended)) == (0, [])
    assert check(ended, "filter toy")["figure"].startswith(
        f"0 of {110 + len(CLEAN)} documents flagged; 0 escalated, "
    )
    assert (
        check(ended, "decoding")["figure"]
        == "64 of 64 documents read back are encoded into the same ids"
    )


def test_counts_of_every_source_are_those_of_the_naive_rule_on_the_original_texts(mix, toy):
    documents = read_mix(mix)
    assert {nfc(text) for text in NAMED} < {document.text for document in documents}
    terms, ended = naive(documents), audit(mix, "--filter", toy)
    for source, counts in ended.answer["filters"][0]["sources"].items():
        mine = [
            (count, document.num_tokens)
            for count, document in zip(terms, documents, strict=True)
            if document.source == source
        ]
        flagged = [tokens for count, tokens in mine if count >= 2]
        assert counts == {
            "documents": len(mine),
            "one_below": sum(count == 1 for count, _ in mine),
            "escalated": len(flagged),
            "approved": 0,
            "flagged": len(flagged),
            "flagged_tokens": sum(flagged),
        }
    assert found_places(ended) == places(documents)
    assert len(found_places(ended)) == 20


def test_a_higher_threshold_moves_what_is_one_below(tmp_path, mix):
    path = write_filter(tmp_path / "three", threshold=3)
    document = json.loads(path.read_text())
    document["golden"][0]["text"] = "Abrin, Ricin, Lassa virus"
    path.write_text(json.dumps(document))
    counts = audit(mix, "--filter", path).answer["filters"][0]["sources"]["named"]
    assert (counts["one_below"], counts["flagged"]) == (10, 10)


@pytest.mark.parametrize("tokens", [40, 55, 70])
def test_a_cut_document_is_judged_as_it_was_cut(tmp_path, toy, tokens):
    write_files(
        tmp_path / "data", "a", {"part": [f"{SECRET} Abrin " + "stone mill " * 30 + "Ricin"]}
    )
    make(write_recipe(tmp_path / "recipes", {"a": {"tokens": tokens}}), tmp_path, tmp_path / "data")
    (document,) = read_mix(tmp_path / "out")
    assert document.cut
    ended = audit(tmp_path / "out", "--filter", toy)
    assert found_places(ended) == places([document])
    assert (ended.code, ended.answer["filters"][0]["sources"]["a"]["one_below"]) == (0, 1)


def test_a_flagged_document_that_was_cut_is_said_to_be(tmp_path, toy):
    write_files(tmp_path / "data", "a", {"part": ["Abrin Ricin " + "stone mill " * 30]})
    make(write_recipe(tmp_path / "recipes", {"a": {"tokens": 50}}), tmp_path, tmp_path / "data")
    ended = audit(tmp_path / "out", "--filter", toy)
    assert found_places(ended) == [(0, "a", 2, True)]
    assert "cut)" in check(ended, "filter toy")["detail"]


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filter whose classifier scores documents apart."""
    weights = np.random.default_rng(3).integers(-8 * ONE, 8 * ONE, 1 << 12).astype(np.int32)
    folder = tmp_path_factory.mktemp("scoring")
    scores = LinearClassifier(LinearWeights(weights, 0, 0), "", "").score(["Abrin and Ricin"])
    return write_filter(
        folder / "f", LinearWeights(weights, 0, 0), str(max(0, int(scores[0]) - 1) / 1_000_000)
    )


def test_results_do_not_depend_on_the_number_of_processes_or_the_shares(
    mix, toy, scoring, monkeypatch
):
    words = [mix, "--filter", toy, "--filter", write_filter(toy.parent, name="other")]
    one = run("audit", *words, "--workers", "1", "--json")
    assert one.answer["filters"][0]["flagged_documents"]
    assert run("audit", *words, "--workers", "2", "--json").out == one.out
    rescored = [mix, "--filter", scoring, "--rescore", "7", "--json"]
    whole = run("audit", *rescored, "--workers", "2").out
    monkeypatch.setattr(rescan_documents, "SHARE_TOKENS", 1 << 20)
    assert run("audit", *words, "--workers", "1", "--json").out == one.out
    assert run("audit", *rescored, "--workers", "1").out == whole


def test_a_mix_of_int32_ids_is_judged_alike(mix, toy, tmp_path):
    wide = Path(shutil.copytree(mix, tmp_path / "wide"))

    def widen(forged: Any) -> None:
        forged.manifest["layout"]["token_dtype"] = "int32"
        for document in forged.documents:
            document.tokens = document.tokens.astype("<i4")

    forge(wide, widen)
    assert (
        audit(wide, "--filter", toy).answer["filters"]
        == audit(mix, "--filter", toy).answer["filters"]
    )


def test_a_bare_pair_is_judged_with_the_tokenizer_that_is_given(mix, toy):
    ended = audit(mix / "tokens.bin", "--filter", toy, "--tokenizer", TOKENIZER)
    assert [one[0] for one in found_places(ended)] == [one[0] for one in places(read_mix(mix))]
    assert ended.code == 3
    assert "give it with --tokenizer FILE" in fails(2, "audit", mix / "tokens", "--filter", toy)


def other_tokenizer(folder: Path) -> Path:
    """The sample tokenizer with its ids dealt otherwise."""
    form = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    vocab = form["model"]["vocab"]
    names = sorted(
        (token for token in vocab if vocab[token] > 1),
        key=lambda token: (vocab[token] * 7919) % 1998,
    )
    kept = {token: vocab[token] for token in vocab if vocab[token] < 2}
    form["model"]["vocab"] = kept | {token: at + 2 for at, token in enumerate(names)}
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(form), encoding="utf-8")
    return path


def test_another_tokenizer_proves_nothing_and_is_refused(mix, toy, tmp_path):
    other = other_tokenizer(tmp_path)
    assert "has canonical digest" in fails(6, "audit", mix, "--filter", toy, "--tokenizer", other)
    ended = audit(mix / "tokens", "--filter", toy, "--tokenizer", other)
    assert (ended.code, check(ended, "decoding")["ok"], check(ended, "filter toy")["ok"]) == (
        3,
        False,
        True,
    )
    assert "give the tokenizer that made the mix" in check(ended, "decoding")["detail"]


def test_documents_that_cannot_be_read_are_not_judged_and_fail(mix, toy, tmp_path):
    for name, damage in {
        "table": lambda folder: part(folder, "documents", 1).write_bytes(b"PAR1"),
        "idx": lambda folder: (folder / "tokens.idx").write_bytes(b""),
        "id": (
            lambda folder: (folder / "tokens.bin").write_bytes(
                b"\xff\xff" + (folder / "tokens.bin").read_bytes()[2:]
            )
        ),
    }.items():
        folder = Path(shutil.copytree(mix, tmp_path / name))
        damage(folder)
        ended = audit(folder, "--filter", toy)
        found = check(ended, "filter toy")
        assert (ended.code, found["ok"], found["figure"]) == (3, False, "not checked")
        assert ended.answer["filters"] == []


def test_a_table_that_names_fewer_documents_than_the_idx_is_not_believed(mix, toy, tmp_path):
    folder = Path(shutil.copytree(mix, tmp_path / "mix"))
    rows = pq.read_table(part(folder, "documents", 1))
    pq.write_table(rows.slice(1), part(folder, "documents", 1))
    assert "documents table names" in check(audit(folder, "--filter", toy), "filter toy")["detail"]


def test_options_that_would_do_nothing_and_filters_that_cannot_do_it_are_usage_errors(mix, toy):
    for option in (["--rescore", "3"], ["--tokenizer", TOKENIZER], ["--workers", "2"]):
        assert f"{option[0]}: without --filter" in fails(2, "audit", mix, *option)
    assert "has no classifier" in fails(2, "audit", mix, "--filter", toy, "--rescore", "3")
    assert "toy is given twice" in fails(2, "audit", mix, "--filter", toy, "--filter", toy)
    assert "is not a shipped filter" in fails(2, "audit", mix, "--filter", "no-such")


def test_rescoring_takes_the_smallest_order_keys_and_finds_the_same_scores(mix, scoring):
    documents, judge = read_mix(mix), Filter.load(str(scoring))
    judged = judge.judge([document.text for document in documents])
    threshold = judge.definition.classifier.threshold_millionths  # type: ignore[union-attr]
    ended = audit(mix, "--filter", scoring, "--rescore", "7")
    figures = ended.answer["filters"][0]
    assert sum(counts["approved"] for counts in figures["sources"].values()) == int(
        (judged.escalated & ~judged.flagged).sum()
    )
    assert 0 < int(judged.flagged.sum()) == len(figures["flagged_documents"])
    assert figures["near_threshold"] == int(
        (np.abs(judged.scores[judged.escalated] - threshold) <= 1000).sum()
    )
    same = {"documents": 7, "missing": 0, "identical": 7, "largest_difference": 0, "changed": []}
    assert figures["rescored"] == {"alone": same, "reversed": same}
    assert "alone: 7 of 7 scores identical" in check(ended, "rescore toy")["figure"]


def test_a_classifier_that_knows_its_neighbours_fails_the_rescoring(mix, scoring, monkeypatch):
    true_score = LinearClassifier.score

    def score(self: LinearClassifier, texts: list[str]) -> Any:
        return true_score(self, texts) if len(texts) == 1 else np.zeros(len(texts), np.uint32)

    monkeypatch.setattr(rescan_documents, "SHARE_TOKENS", 1 << 20)
    monkeypatch.setattr(LinearClassifier, "score", score)
    ended = audit(mix, "--filter", scoring, "--rescore", "100")
    found = check(ended, "rescore toy")
    assert (ended.code, found["ok"], check(ended, "filter toy")["ok"]) == (3, False, True)
    assert "is decided otherwise alone" in found["detail"]


def scored(number: int, score: int, document: int | None = None) -> Scored:
    digest = bytes([number]) * 16
    return Scored(order_key(digest), digest, number if document is None else document, 0, 1, score)


def test_agreement_counts_what_differs_what_is_missing_and_what_is_decided_otherwise():
    documents = [scored(1, 500), scored(2, 501), scored(3, 100), scored(4, 900)]
    found = agreement(
        documents,
        {bytes([1]) * 16: 500, bytes([2]) * 16: 500, bytes([3]) * 16: 400, bytes([9]) * 16: 1},
        500,
    )
    assert (
        found.documents,
        found.missing,
        found.identical,
        found.largest_difference,
        found.changed,
    ) == (3, 1, 1, 300, (2,))
    assert agreement([], {}, 500) == rescoring.Agreement(0, 0, 0, 0, ())


@given(
    found=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1000)), max_size=40),
    cut=st.integers(0, 40),
    number=st.integers(0, 12),
)
def test_the_smallest_order_keys_are_the_same_however_shares_are_cut(found, cut, number):
    documents = [scored(value, score, at) for at, (value, score) in enumerate(found)]
    pieces = [*smallest(documents[:cut], number), *smallest(documents[cut:], number)]
    assert smallest(pieces, number) == smallest(documents, number)
    assert len({one.digest for one in smallest(documents, number)}) == min(
        number, len({value for value, _ in found})
    )


PIECES = st.sampled_from(
    [*TERMS, "cafe\u0301", "e\u0301", "\u00e9", "\u0301", " ", "x", "\u212b", "\u00ad", "-"]
)


@given(text=st.lists(PIECES, max_size=12))
def test_the_normal_form_counts_the_same_terms_in_mode_words_where_marks_follow_letters(text):
    joined = "".join(text)
    assert count_distinct_naive(nfc(joined), TERMS, "words") == count_distinct_naive(
        joined, TERMS, "words"
    )


def test_where_the_normal_form_is_decided_otherwise_it_is_as_the_docstring_says():
    beside_a_symbol, decomposed = "=\u0338Abrin", "cafe\u0301"
    assert [
        count_distinct_naive(text, TERMS, "words")
        for text in (beside_a_symbol, nfc(beside_a_symbol))
    ] == [0, 1]
    assert [
        count_distinct_naive(text, TERMS, "published") for text in (decomposed, nfc(decomposed))
    ] == [0, 1]
    assert [
        count_distinct_naive(text, ["cafe"], "published") for text in (decomposed, nfc(decomposed))
    ] == [1, 0]


@pytest.mark.campaign  # 30,000 real documents
def test_every_document_of_a_mix_of_real_ones_is_read_back_as_nfc_of_its_original(
    shared, tmp_path, monkeypatch
):
    from pipeline.commands.audit.rescan import Rescan, ShareJudge
    from pipeline.lookup.documents import StreamDocuments

    texts = [text for _, text in published_texts(shared / "data")][::60]
    write_files(tmp_path / "data", "real", sharded(texts, 3))
    file = shared / "tokenizers" / "gpt-neox-20b.json"
    recipe = write_recipe(tmp_path / "recipes", {"real": {"all": True}}, tokenizer="gpt-neox-20b")
    make(recipe, tmp_path, tmp_path / "data", tokenizer=file)
    monkeypatch.setattr(rescan_documents, "SHARE_TOKENS", 1 << 16)
    stream = StreamDocuments.of_mix(tmp_path / "out", file)
    pair = stream.open()
    judge = ShareJudge(Rescan(stream, (), ()), [], pair)
    found = [
        text for share in stream.shares(pair) for text in judge.texts(share.starts, share.ends)
    ]
    assert sorted(found) == sorted(nfc(text) for text in set(texts) if text)
    assert len(found) > 300
