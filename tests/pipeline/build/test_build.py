"""Mixes are exact, whole, nested, disjoint and explained; what cannot be built leaves nothing
behind; what was read is not read again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import AnnealmixError, InputError, ManifestError, RecipeError, SupplyError
from mixtures.keys import key_bound, order_key
from pipeline.stages import write
from tests.pipeline.corpus import (
    Document,
    contents,
    make,
    nfc,
    prose,
    read_mix,
    sharded,
    tokenizer,
    write_files,
    write_recipe,
)

A, B, C = prose(1, 60), prose(2, 120), prose(3, 50)
TEXTS = {
    "a": [*A, A[3], A[3], "", "x", " "],
    "b": [*B, A[5], B[7], "", "Cafe\u0301 <|endoftext|> \u5ddd", "word " * 3000],
    "c": [*C, A[5], A[6], B[8], "x"],
}


def digest(text: str) -> str:
    return hashlib.blake2b(nfc(text).encode(), digest_size=16).hexdigest()


def key(text: str) -> int:
    return order_key(bytes.fromhex(digest(text)))


def tokens_of(text: str) -> int:
    return len(tokenizer().encode(text).ids) + 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, texts in TEXTS.items():
        write_files(tmp_path / "data", name, sharded(texts, 3))
    return tmp_path / "data"


def recipe_of(folder: Path, sources: dict[str, dict[str, Any]], **more: Any) -> Path:
    return write_recipe(folder / "recipes", sources, **more)


def built(
    folder: Path,
    sources: dict[str, dict[str, Any]],
    out: str = "out",
    store: str = "store",
    **more: Any,
) -> list[Document]:
    options = {
        name: more.pop(name) for name in ("workers", "tasks", "scale", "tokens") if name in more
    }
    make(
        recipe_of(folder, sources, name=out, **more), folder, folder / "data", out, store, **options
    )
    return read_mix(folder / out)


def beside(folder: Path) -> set[str]:
    """What stands in a folder apart from inputs and the store."""
    return {path.name for path in folder.iterdir()} - {"data", "recipes", "store"}


def row_of(data: Path, document: Document) -> str:
    """The text that provenance names, read by gzip and json alone."""
    with gzip.open(data / document.source / document.file) as file:
        return str(json.loads(file.readlines()[document.row])["text"])


def test_every_document_of_a_mix_decodes_to_the_text_that_its_provenance_names(tmp_path, data):
    documents = built(tmp_path, {"a": {"all": True}, "b": {"all": True}, "c": {"all": True}})
    assert len(documents) == len(
        {text for texts in TEXTS.values() for text in texts if text.strip()}
    )
    for document in documents:
        text = row_of(data, document)
        assert document.digest == digest(text)
        assert document.text == nfc(text)
        assert document.num_tokens == tokens_of(text)
        assert not document.cut


def test_the_survivor_is_the_first_source_and_its_provenance_the_first_row(tmp_path, data):
    for number, order in enumerate((["a", "b", "c"], ["c", "b", "a"])):
        found = {
            document.digest: document
            for document in built(tmp_path, {name: {"all": True} for name in order}, f"out{number}")
        }
        for text in ("x", A[3], A[5], A[6], B[7], B[8]):
            document = found[digest(text)]
            holder = next(name for name in order if text in TEXTS[name])
            stretch = -(-len(TEXTS[holder]) // 3)
            first = TEXTS[holder].index(text)
            assert (document.source, document.file, document.row) == (
                holder,
                f"part-{first // stretch:03d}.json.gz",
                first % stretch,
            )


def test_each_source_is_its_documents_in_key_order_cut_to_the_token(tmp_path, data):
    sources: dict[str, dict[str, Any]] = {
        "a": {"tokens": 601},
        "b": {"weight": 2},
        "c": {"weight": 1},
    }
    documents = built(tmp_path, sources, budget={"tokens": 3001})
    quotas = {"a": 601, "b": 1600, "c": 800}
    seen: set[str] = set()
    for name, quota in quotas.items():
        mine = sorted(({text for text in TEXTS[name] if text.strip()}) - seen, key=key)
        seen |= set(TEXTS[name])
        expected, left = [], quota
        for text in mine:
            if left:
                expected.append((digest(text), min(tokens_of(text), left)))
                left -= expected[-1][1]
        found = [document for document in documents if document.source == name]
        assert [(document.digest, document.num_tokens) for document in found] == expected
        assert all(
            document.cut == (document.num_tokens < tokens_of(row_of(data, document)))
            for document in found
        )


def test_a_small_mix_is_a_prefix_of_the_large_one_source_by_source(tmp_path, data):
    sources = {"a": {"weight": 1}, "b": {"weight": 3}, "c": {"tokens": 500}}
    large = built(tmp_path, sources, budget={"tokens": 4000})
    for scale in (Fraction(1, 500), Fraction(1, 7), Fraction(1, 2), Fraction(3999, 4000)):
        name = f"out-{scale.denominator}"
        small = built(tmp_path, sources, name, budget={"tokens": 4000}, scale=scale)
        assert sum(document.num_tokens for document in small) == int(4000 * scale)
        for source in sources:
            few, many = (
                [document.digest for document in mix if document.source == source]
                for mix in (small, large)
            )
            assert few == many[: len(few)]


def test_disjoint_key_ranges_share_no_document_and_together_hold_all(tmp_path, data):
    low = built(tmp_path, {"b": {"all": True, "keys": [0, 0.37]}}, "low")
    high = built(tmp_path, {"b": {"all": True, "keys": [0.37, 1]}}, "high")
    low_digests, high_digests = ({document.digest for document in mix} for mix in (low, high))
    assert not low_digests & high_digests
    assert low_digests | high_digests == {digest(text) for text in TEXTS["b"] if text.strip()}
    assert low_digests == {
        digest(text)
        for text in TEXTS["b"]
        if text.strip() and key(text) < key_bound(Decimal("0.37"))
    }


def test_two_key_ranges_of_one_definition_are_two_sources_of_one_mix(tmp_path, data):
    sources = {
        "early": {"use": "b.yaml", "tokens": 300, "keys": [0, 0.5]},
        "late": {"use": "b.yaml", "tokens": 300, "keys": [0.5, 1]},
    }
    documents = built(tmp_path, sources)
    by_digest = {digest(text): key(text) for text in TEXTS["b"]}
    assert {document.source for document in documents} == {"early", "late"}
    assert all(
        (by_digest[document.digest] < 2**63) == (document.source == "early")
        for document in documents
    )


def test_exclude_removes_the_other_mix_and_its_copies_in_other_sources(tmp_path, data):
    recipe_of(tmp_path, {"a": {"tokens": 100, "keys": [0, 0.9]}}, name="first")
    documents = built(
        tmp_path,
        {"a": {"all": True}, "b": {"all": True}, "c": {"all": True}},
        exclude=["first.yaml"],
    )
    taken = {
        digest(text)
        for text in TEXTS["a"]
        if text.strip() and key(text) < key_bound(Decimal("0.9"))
    }
    everything = {digest(text) for texts in TEXTS.values() for text in texts if text.strip()}
    assert taken & {digest(text) for text in TEXTS["c"]}, "the corpus has no copy to remove"
    assert {document.digest for document in documents} == everything - taken


def test_a_shortfall_is_refilled_to_the_token(tmp_path, data):
    a_tokens = sum(tokens_of(text) for text in set(TEXTS["a"]) if text.strip())
    sources: dict[str, dict[str, Any]] = {
        "a": {"tokens": a_tokens + 77, "shortfall": {"refill": "b"}},
        "b": {"tokens": 400},
    }
    manifest = make(recipe_of(tmp_path, sources), tmp_path, data)
    assert [source["realised_tokens"] for source in manifest["sources"]] == [a_tokens, 477]
    assert manifest["sources"][0]["refilled"] == {"b": 77}


def test_a_repeated_source_stands_twice_in_the_same_order(tmp_path, data):
    tokens = sum(tokens_of(text) for text in set(TEXTS["c"]))
    documents = built(
        tmp_path, {"c": {"tokens": 2 * tokens - 3, "shortfall": {"repeat": 2}}, "b": {"tokens": 50}}
    )
    epochs = [
        [
            document.digest
            for document in documents
            if document.source == "c" and document.epoch == epoch
        ]
        for epoch in (0, 1)
    ]
    assert epochs[0] == sorted(
        (digest(text) for text in TEXTS["c"]), key=lambda value: order_key(bytes.fromhex(value))
    )
    assert epochs[1] == epochs[0][: len(epochs[1])]
    assert len(epochs[1]) >= len(epochs[0]) - 3


def test_a_short_source_fails_by_name_and_leaves_nothing_visible(tmp_path, data):
    with pytest.raises(
        SupplyError, match=r"sources.c asks 1,000,000 tokens, [\d,]+ are available"
    ) as caught:
        built(tmp_path, {"c": {"tokens": 1_000_000}, "b": {"tokens": 10}})
    assert caught.value.exit_code == 5
    assert beside(tmp_path) == set()


def test_bytes_that_do_not_come_back_as_they_were_written_fail_the_build(
    tmp_path, data, monkeypatch
):
    def write_another(handle: int, offset: int, content: memoryview) -> None:
        os.pwrite(handle, bytes([content[0] ^ 1, *content[1:]]), offset)

    monkeypatch.setattr(write, "write_at", write_another)
    with pytest.raises(AnnealmixError, match="read back are not those that were written"):
        built(tmp_path, {"a": {"tokens": 900}}, workers=1)
    assert not (tmp_path / "out").exists()


def test_blocks_that_are_written_at_a_time_change_no_byte(tmp_path, data, monkeypatch):
    sources = {"a": {"weight": 1}, "b": {"weight": 2}}
    budget = {"tokens": 3001}
    built(tmp_path, sources, "one", budget=budget, workers=1)
    monkeypatch.setattr(write, "BLOCK_BYTES", 50)
    built(tmp_path, sources, "two", budget=budget, workers=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_every_row_is_kept_or_has_one_reason(tmp_path, data):
    recipe_of(tmp_path, {"c": {"tokens": 100, "keys": [0, 0.3]}}, name="first")
    sources: dict[str, dict[str, Any]] = {
        "a": {"weight": 1, "keys": [0, 0.9]},
        "b": {"weight": 1, "keys": [0.1, 1]},
        "c": {"weight": 1},
    }
    manifest = make(
        recipe_of(tmp_path, sources, budget={"tokens": 2000}, exclude=["first.yaml"]),
        tmp_path,
        data,
    )
    kept = Counter(document.source for document in read_mix(tmp_path / "out"))
    for name, waterfall in manifest["removed"].items():
        assert waterfall["rows"] == len(TEXTS[name])
        assert waterfall["rows"] == sum(
            count for reason, count in waterfall.items() if reason != "rows"
        )
        assert waterfall["empty"] == sum(not text.strip() for text in TEXTS[name])
        assert waterfall["kept"] == kept[name]
    assert manifest["removed"]["a"]["duplicate of a"] >= 1
    assert manifest["removed"]["c"]["excluded"] > 0


def test_unreadable_rows_are_counted_and_too_many_of_them_fail(tmp_path, data):
    (data / "c" / "bad.json.gz").write_bytes(
        gzip.compress(b'{"text": 5}\n{"text": "fine"}\nnot json\n')
    )
    with pytest.raises(InputError, match=r"sources.c: 2 of 57 rows are unreadable") as caught:
        built(tmp_path, {"c": {"tokens": 100}})
    assert caught.value.exit_code == 4
    assert beside(tmp_path) == set()
    manifest = make(
        recipe_of(tmp_path, {"c": {"tokens": 100}}, max_quarantined="0.04"), tmp_path, data
    )
    assert manifest["removed"]["c"]["quarantined"] == 2


def test_building_again_says_built_already_and_changes_no_byte(tmp_path, data, capsys):
    recipe = recipe_of(tmp_path, {"a": {"tokens": 300}})
    first = make(recipe, tmp_path, data)
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted((tmp_path / "out").rglob("*"))
        if path.is_file()
    }
    assert make(recipe, tmp_path, data) == first
    assert "built already" in capsys.readouterr().err
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before}
    assert beside(tmp_path) == {"out"}


@pytest.mark.parametrize("change", ["input", "recipe", "size"])
def test_a_finished_mix_is_never_overwritten_by_another(tmp_path, data, change):
    recipe = recipe_of(tmp_path, {"a": {"tokens": 300}})
    make(recipe, tmp_path, data)
    before = contents(tmp_path / "out")
    if change == "input":
        write_files(data, "a", {"new": ["another document"]})
    elif change == "recipe":
        recipe = recipe_of(tmp_path, {"a": {"tokens": 301}})
    scale = Fraction(1, 2) if change == "size" else None
    with pytest.raises(RecipeError, match="holds"):
        make(recipe, tmp_path, data, scale=scale)
    assert contents(tmp_path / "out") == before
    assert beside(tmp_path) == {"out"}


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_something_else_at_the_output_is_refused_and_kept(tmp_path, data, taken):
    kept = tmp_path / "out" if taken == "file" else tmp_path / "out" / "thesis.tex"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("precious")
    with pytest.raises(RecipeError, match="no mix"):
        built(tmp_path, {"a": {"tokens": 300}})
    assert kept.read_text() == "precious"


def ledgers(folder: Path) -> dict[str, int]:
    """Time of change of every ledger of the store, by its folder."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.glob("store/sources/*/*/ledger/done.json")
    }


def test_of_a_source_with_a_new_file_only_that_file_is_read(tmp_path, data):
    built(tmp_path, {"a": {"all": True}}, "one")
    before = ledgers(tmp_path)
    write_files(data, "a", {"part-0005": ["a new document", A[0]]})
    documents = built(tmp_path, {"a": {"all": True}}, "two")
    after = ledgers(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert {document.digest for document in documents} == {
        digest(text) for text in [*TEXTS["a"], "a new document"] if text.strip()
    }


def test_a_changed_file_is_noticed_even_if_its_size_stays(tmp_path, data):
    write_files(data, "d", {"one": ["alpha beta", "gamma"], "two": ["delta"]}, "jsonl")
    packings = {"d": "jsonl"}
    recipe = write_recipe(tmp_path / "recipes", {"d": {"all": True}}, packings)
    make(recipe, tmp_path, data)
    write_files(data, "d", {"one": ["alpha beta", "gammy"]}, "jsonl")
    os.utime(data / "d" / "one.jsonl", (1, 1))
    make(recipe, tmp_path, data, "again")
    assert {document.text for document in read_mix(tmp_path / "again")} == {
        "alpha beta",
        "gammy",
        "delta",
    }


def test_a_touched_file_with_the_same_content_is_not_read_again(tmp_path, data):
    built(tmp_path, {"a": {"all": True}}, "one")
    before = ledgers(tmp_path)
    for path in (data / "a").iterdir():
        os.utime(path, (1, 1))
    built(tmp_path, {"a": {"all": True}}, "two")
    assert ledgers(tmp_path) == before
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    "name", ["order_key", "digest", "file", "row", "tokens", "num_tokens", "offset"]
)
def test_a_truncated_file_of_the_store_is_an_error_and_not_another_mix(tmp_path, data, name):
    built(tmp_path, {"a": {"tokens": 300}}, "one")
    path = sorted((tmp_path / "store" / "sources").glob(f"*/*/*/*.{name}"))[0]
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ManifestError, match="were written"):
        built(tmp_path, {"a": {"tokens": 200}}, "two")
    assert not (tmp_path / "two").exists()


def test_a_missing_partition_file_of_the_store_is_an_error(tmp_path, data):
    built(tmp_path, {"a": {"tokens": 300}}, "one")
    for path in (tmp_path / "store" / "select").glob("*/p0000/a.digest"):
        path.unlink()
    with pytest.raises(ManifestError, match="missing"):
        built(tmp_path, {"a": {"tokens": 200}}, "two")


def test_a_budget_that_leaves_a_source_no_token_still_builds(tmp_path, data):
    documents = built(
        tmp_path, {"a": {"weight": "0.001"}, "b": {"weight": 100}}, budget={"tokens": 40}
    )
    assert {document.source for document in documents} == {"b"}
    assert sum(document.num_tokens for document in documents) == 40


def test_a_mix_of_one_token_is_one_end_of_document(tmp_path, data):
    (document,) = built(tmp_path, {"b": {"tokens": 1}})
    assert (document.num_tokens, document.text, document.cut) == (1, "", True)
