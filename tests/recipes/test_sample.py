"""The shipped sample: made again it is the same, it is small, and what is planted is where PLANTED.json says."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mixtures.keys import key_bound, order_key, text_digest
from mixtures.recipe import load_recipe
from recipes.sample import make_sample
from recipes.sample.packing import versions
from recipes.sample.prose import Draw, Zipf, past, plural, shuffled

RECIPES = make_sample.RECIPES
DATA = RECIPES / "sample" / "data"
PLANTED: list[dict[str, Any]] = json.loads((DATA / "PLANTED.json").read_text(encoding="utf-8"))
CHECKOUT = RECIPES.parent
BAD_KINDS = {"malformed-json", "not-an-object", "invalid-utf8", "null-text", "number-text", "missing-text"}


# An independent reading of the packed files: rows of bytes (JSON lines, zip) or of objects (parquet).


@cache
def raw_rows(source: str, file: str) -> list[Any]:
    path = DATA / source / file
    if file.endswith(".parquet"):
        rows: list[Any] = pq.read_table(path).to_pylist()
        return rows
    if file.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return [archive.read(name) for name in sorted(archive.namelist())]
    content = path.read_bytes()
    plain = zstandard.ZstdDecompressor().decompress(content) if file.endswith(".zst") else gzip.decompress(content)
    return plain.removesuffix(b"\n").split(b"\n")


def parsed(row: Any) -> Any:
    return row if isinstance(row, dict) else json.loads(row.decode("utf-8-sig"))


def text_at(place: dict[str, Any]) -> str:
    """The training text at a place of PLANTED.json."""
    row = parsed(raw_rows(place["source"], place["file"])[place["row"]])
    return f"{row['message_1']}\n\n{row['message_2']}" if "message_1" in row else row["text"]


def planted(*kinds: str) -> list[dict[str, Any]]:
    found = [entry for entry in PLANTED if entry["kind"] in kinds]
    assert found, f"nothing planted of {kinds}"
    return found


def data_files() -> Iterator[tuple[str, str]]:
    for path in sorted(DATA.rglob("*.*")):
        if path.is_file() and path.parent != DATA:
            source, _, file = path.relative_to(DATA).as_posix().partition("/")
            yield source, file


def documents(source: str) -> list[str]:
    """Every text of a source that a strict reader takes, empty ones left out."""
    bad = {(entry["file"], entry["row"]) for entry in PLANTED if entry["source"] == source and entry["kind"] in BAD_KINDS}
    places = [
        {"source": source, "file": file, "row": row}
        for name, file in data_files()
        if name == source
        for row in range(len(raw_rows(source, file)))
        if (file, row) not in bad
    ]
    return [text for text in map(text_at, places) if text]


# Making it again


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("made")
    make_sample.write_sample(folder)
    return folder


def test_script_makes_the_shipped_sample_again(made: Path) -> None:
    assert make_sample.differences(made, RECIPES) == []


def test_script_makes_the_same_bytes_where_the_packing_libraries_are_the_same(made: Path) -> None:
    shipped = json.loads((DATA / "PACKED_WITH.json").read_text(encoding="utf-8"))
    if shipped != versions():
        pytest.skip(f"the shipped files were packed with {shipped}, here are {versions()}")
    for path in make_sample.made_files(RECIPES):
        assert (made / path).read_bytes() == (RECIPES / path).read_bytes(), path


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_check_succeeds_in_another_process_whatever_hash_seed_time_zone_and_locale(hash_seed: str) -> None:
    surroundings = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "recipes.sample.make_sample", "--check"]
    checked = subprocess.run(command, cwd=CHECKOUT, env=surroundings, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_check_names_a_file_that_differs(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "sample" / "data" / "dolmino-flan"
    for path in make_sample.made_files(made):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((made / path).read_bytes())
    (target / "flan-0001.json.gz").unlink()
    changed = gzip.decompress((target / "flan-0000.json.gz").read_bytes()).replace(b"river", b"rover", 1)
    (target / "flan-0000.json.gz").write_bytes(gzip.compress(changed))
    folder = "sample/data/dolmino-flan"
    assert make_sample.differences(made, tmp_path) == [f"{folder}/flan-0001.json.gz", f"{folder}/flan-0000.json.gz"]


def test_another_seed_makes_other_texts() -> None:
    first, second = (make_sample.make_corpus(seed).files[0].records[0].value for seed in (1, 2))
    assert first != second


# Size and layout


def test_sample_is_small() -> None:
    sizes = {path: path.stat().st_size for path in (RECIPES / "sample").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert sum(sizes.values()) < 2_000_000
    assert max(sizes.values()) < 600_000


def test_layout_is_that_of_the_published_files(shared: Path) -> None:
    for source in sorted({source for source, _ in data_files()}):
        example = next(path for path in sorted((shared / "data" / source).rglob("*")) if path.is_file())
        ours = next(file for name, file in data_files() if name == source)
        assert [part.suffix for part in map(Path, ours.split("/"))] == [
            part.suffix for part in map(Path, example.relative_to(shared / "data" / source).parts)
        ]
        if example.suffix == ".parquet":
            assert pq.read_schema(DATA / source / ours).remove_metadata() == pq.read_schema(example).remove_metadata()
        elif example.suffix == ".zip":
            with zipfile.ZipFile(example) as archive:
                assert list(parsed(raw_rows(source, ours)[0])) == list(json.loads(archive.read(archive.namelist()[0])))
        else:
            content = example.read_bytes()
            stream = zstandard.ZstdDecompressor().stream_reader(content) if example.suffix == ".zst" else gzip.open(example)
            with stream:
                wanted = json.loads(stream.read().split(b"\n")[0])
            assert list(parsed(raw_rows(source, ours)[0])) == list(wanted)


# What is planted


def test_every_row_that_does_not_read_is_planted_and_no_other() -> None:
    bad = set()
    for source, file in data_files():
        for row, raw in enumerate(raw_rows(source, file)):
            try:
                value = parsed(raw)
            except ValueError:
                bad.add((source, file, row))
                continue
            if not isinstance(value, dict) or not ("message_1" in value or isinstance(value.get("text"), str)):
                bad.add((source, file, row))
    assert bad == {(entry["source"], entry["file"], entry["row"]) for entry in planted(*BAD_KINDS)}


DAMAGE: dict[str, Callable[[Any], bool]] = {
    "malformed-json": lambda raw: _fails(raw, json.JSONDecodeError),
    "invalid-utf8": lambda raw: _fails(raw, UnicodeDecodeError),
    "not-an-object": lambda raw: isinstance(parsed(raw), list),
    "null-text": lambda raw: parsed(raw)["text"] is None,
    "number-text": lambda raw: isinstance(parsed(raw)["text"], int | float),
    "missing-text": lambda raw: "text" not in parsed(raw),
    "lone-surrogate": lambda raw: b"\\ud83d " in raw and "\ud83d" in parsed(raw)["text"],
    "crlf": lambda raw: raw.endswith(b"}\r"),
    "byte-order-mark": lambda raw: raw.startswith(b"\xef\xbb\xbf{"),
    "no-final-newline": lambda raw: bool(parsed(raw)["text"]),
    "duplicate-id": lambda raw: bool(parsed(raw)["id"]),
}
TEXTS: dict[str, Callable[[str], bool]] = {
    "empty-text": lambda text: text == "",
    "white-space-text": lambda text: text != "" and text.isspace(),
    "short-text": lambda text: text == "Yes.",
    "long-text": lambda text: len(text) > 8000,
    "line-separator": lambda text: "\u2028" in text and "\u0085" in text,
    "nul-character": lambda text: "\x00" in text,
    "special-string": lambda text: text.count("<|endoftext|>") == 1,
    "composed-accents": lambda text: text == unicodedata.normalize("NFC", text) != unicodedata.normalize("NFD", text),
}


def _fails(raw: bytes, error: type[ValueError]) -> bool:
    try:
        parsed(raw)
    except ValueError as found:
        return type(found) is error
    return False


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_planted_row_is_damaged_or_awkward_as_its_kind_says(kind: str) -> None:
    for entry in planted(kind):
        assert DAMAGE[kind](raw_rows(entry["source"], entry["file"])[entry["row"]]), entry


@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_planted_text_is_as_its_kind_says(kind: str) -> None:
    for entry in planted(kind):
        assert TEXTS[kind](text_at(entry)), entry


def test_every_planted_kind_has_a_test_here() -> None:
    tested = {*DAMAGE, *TEXTS, "duplicate-in-file", "duplicate-across-files", "duplicate-across-sources", "near-duplicate", "nfd-twin"}
    assert {entry["kind"] for entry in PLANTED} == tested | {"listed-names", "disguised-names", "evaluation-item"}


def test_planted_duplicates_have_the_text_of_their_original() -> None:
    for entry in planted("duplicate-in-file", "duplicate-across-files", "duplicate-across-sources"):
        original = entry["of"]
        assert text_at(entry) == text_at(original)
        same_source, same_file = (entry[key] == original[key] for key in ("source", "file"))
        reach = "across-sources" if not same_source else "in-file" if same_file else "across-files"
        assert entry["kind"] == f"duplicate-{reach}"
        assert (entry["file"], entry["row"]) != (original["file"], original["row"]) or not same_source


def test_copies_of_dclm_lie_in_both_key_ranges() -> None:
    """At least 20 DCLM texts stand in other sources too, some with keys of sample-pretraining, some with keys of sample."""
    sources = load_recipe("sample").recipe.sources, load_recipe("sample-pretraining").recipe.sources
    ranges = [chosen["dclm"].key_range for chosen in sources]
    copies = [entry for entry in planted("duplicate-across-sources") if "dclm-dedup" in (entry["source"], entry["of"]["source"])]
    keys = [order_key(text_digest(text_at(entry).encode("utf-8"))) for entry in copies]
    assert len(copies) >= 20
    for low, high in ranges:
        assert sum(low <= key < high for key in keys) >= 5


def test_near_duplicates_differ_in_a_few_words() -> None:
    for entry in planted("near-duplicate"):
        ours, theirs = text_at(entry).split(" "), text_at(entry["of"]).split(" ")
        changed = sum(mine != other for mine, other in zip(ours, theirs, strict=True))
        assert 1 <= changed <= max(1, len(ours) // 60)


def test_nfd_twin_is_another_text_with_the_same_tokens() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(RECIPES / "sample" / "tokenizer.json"))
    for entry in planted("nfd-twin"):
        assert text_at(entry) != text_at(entry["of"])
        assert tokenizer.encode(text_at(entry)).ids == tokenizer.encode(text_at(entry["of"])).ids


def test_evaluation_items_stand_in_two_sources() -> None:
    places = [(entry["note"], entry["source"]) for entry in planted("evaluation-item")]
    assert all(entry["note"] in text_at(entry) for entry in planted("evaluation-item"))
    assert set(Counter(question for question, _ in places).values()) == {2}
    assert len(set(places)) == len(places)


def test_about_thirty_documents_name_one_two_or_three_listed_items() -> None:
    entries = planted("listed-names")
    assert Counter(len(entry["names"]) for entry in entries) == {1: 10, 2: 10, 3: 10}
    for entry in entries:
        assert all(name in text_at(entry) for name in entry["names"])
    for entry in planted("disguised-names"):
        folded = " ".join(text_at(entry).casefold().split())
        assert all(name not in text_at(entry) and name.casefold() in folded for name in entry["names"])


def test_planted_documents_name_just_those_items_of_the_public_lists(shared: Path) -> None:
    """With the rule of substrings in lower case; and no other document of the sample names any."""
    listed = {
        line.strip().lower()
        for path in sorted((shared / "data" / "blocklist").glob("*_names.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    }
    naming = {text_at(entry): {name.lower() for name in entry["names"]} for entry in planted("listed-names", "disguised-names")}
    spaced = {text for text in naming if any(mark in text for mark in ("\u00a0", "\n"))}
    for source in sorted({source for source, _ in data_files()}):
        for text in documents(source):
            found = {name for name in listed if name in text.lower()}
            assert found == naming.get(text, set()) or (text in spaced and found < naming[text]), text


# The recipes that use it


def test_bad_rows_stay_within_the_limit_of_the_recipe() -> None:
    limit = load_recipe("sample").recipe.max_quarantined
    for source in sorted({entry["source"] for entry in planted(*BAD_KINDS)} - {"dclm-baseline"}):
        rows = sum(len(raw_rows(name, file)) for name, file in data_files() if name == source)
        assert sum(entry["source"] == source for entry in planted(*BAD_KINDS)) <= rows * limit


def test_sources_hold_and_lack_what_the_recipe_says() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(RECIPES / "sample" / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    loaded = load_recipe("sample")
    requests = loaded.recipe.sources
    weights = sum((request.weight or Decimal(0) for request in requests.values()), Decimal(0))
    assert loaded.recipe.budget is not None
    supply, quota = {}, {}
    for name, request in requests.items():
        low, high = request.key_range
        texts = {text for text in documents(loaded.definitions[name].name) if low <= order_key(text_digest(_bytes(text))) < high}
        supply[name] = sum(len(tokenizer.encode(_bytes(text).decode()).ids) + 1 for text in texts)
        quota[name] = request.tokens or int(request.weight / weights * (loaded.recipe.budget.total_tokens - requests["dclm"].tokens))
    short = {name for name in supply if supply[name] < quota[name]}
    assert short == {"camel-biology", "wiki"}
    assert 2 * supply["wiki"] > 1.2 * quota["wiki"]
    assert supply["dclm"] > 130_000


def test_pretraining_half_has_its_tokens_below_one_half() -> None:
    assert load_recipe("sample-pretraining").recipe.sources["dclm"].key_range == (0, key_bound(Decimal("0.5")))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def test_tokenizer_puts_eod_at_0_and_gives_its_golden_ids() -> None:
    from tokenizers import Tokenizer

    definition = load_recipe("sample").tokenizer
    tokenizer = Tokenizer.from_file(str(RECIPES / "sample" / "tokenizer.json"))
    assert (tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|padding|>")) == (0, 1)
    assert tokenizer.get_vocab_size() == definition.vocab_size == 2000
    tokenizer.encode_special_tokens = True
    for vector in definition.golden:
        assert tuple(tokenizer.encode(vector.text).ids) == vector.ids


# The generator


def test_draws_are_splitmix64() -> None:
    """The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for the seed 0."""
    draw = Draw(0)
    assert [draw.bits() for _ in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(seed=st.integers(0, 2**64 - 1), bound=st.integers(1, 2**32))
def test_draws_stay_below_their_bound(seed: int, bound: int) -> None:
    assert 0 <= Draw(seed).below(bound) < bound


@given(seed=st.integers(0, 2**64 - 1), items=st.lists(st.integers()))
def test_shuffling_keeps_the_items(seed: int, items: list[int]) -> None:
    assert sorted(shuffled(items, Draw(seed))) == sorted(items)


def test_words_of_lower_rank_are_more_frequent() -> None:
    draw, words = Draw(5), Zipf([f"word{rank}" for rank in range(50)])
    counts = Counter(words.draw(draw) for _ in range(20_000))
    assert counts["word0"] > 2 * counts["word5"] > 4 * counts["word40"] > 0


@pytest.mark.parametrize(("word", "many"), [("river", "rivers"), ("story", "stories"), ("valley", "valleys"), ("branch", "branches"), ("leaf", "leaves")])
def test_nouns_take_their_plural(word: str, many: str) -> None:
    assert plural(word) == many


@pytest.mark.parametrize(("verb", "then"), [("carry", "carried"), ("move", "moved"), ("enjoy", "enjoyed"), ("open", "opened")])
def test_verbs_take_their_past(verb: str, then: str) -> None:
    assert past(verb) == then
