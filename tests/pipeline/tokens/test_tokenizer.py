"""Ids are those of Hugging Face tokenizers, every document ends in one EOD, and only the pinned
tokenizer is ever used.

Oracle: the `tokenizers` library, called here directly, on a small BPE trained in this file and on
the real GPT-NeoX-20B.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tokenizers
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import pipeline.tokens.tokenizer
from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.recipe.load import load_tokenizer_definition
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from mixtures.recipe.tokenizer.form import canonical_digest
from pipeline.tokens.find import find_tokenizer
from pipeline.tokens.loaded import loaded_tokenizer
from pipeline.tokens.tokenizer import Tokenizer

EOD = "<|endoftext|>"
GOLDEN = ["the cat  sat", f"a{EOD}b", "cafe\u0301", ""]
CORPUS = [
    "the cat sat on the mat, isn't it?",
    "def f(x):\n        return x  # 3,141",
    "na\u00efve caf\u00e9 \u8a00\u8a9e \U0001f9ec",
] * 20
ENGINES = ["fastokens", "tokenizers"]


def reference(content: str, parse: bool) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer.from_str(content)
    tokenizer.encode_special_tokens = not parse
    return tokenizer


def train(normalizer: Any, extra: list[Any]) -> str:
    """A byte-level BPE of about 330 tokens, id 0 = EOD, with a run of spaces as an ordinary added
    token, as in GPT-NeoX-20B.
    """
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=[EOD],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([tokenizers.AddedToken("  ", normalized=True), *extra])
    return tokenizer.to_str()


TINY = train(tokenizers.normalizers.NFC(), [])


def define(content: str, **changes: Any) -> TokenizerDefinition:
    """The definition of a tokenizer, with golden vectors by the reference library."""
    tokenizer = reference(content, parse=False)
    size = tokenizer.get_vocab_size()
    fields: dict[str, Any] = {
        "name": "tiny",
        "file": "tokenizers/tiny-that-is-not-shipped.json",
        "digest": canonical_digest(content.encode()),
        "eod": EOD,
        "eod_id": tokenizer.token_to_id(EOD),
        "vocab_size": size,
        "padded_vocab_size": size,
        "golden": [
            {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
            for text in GOLDEN
        ],
        "licence": "Apache-2.0",
    }
    return TokenizerDefinition.model_validate(fields | changes)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tiny.json"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> dict[tuple[str, str], Tokenizer]:
    definition = define(TINY)
    return {
        (engine, mode): Tokenizer(tiny, definition, mode, engine)  # type: ignore[arg-type]
        for engine in ENGINES
        for mode in ("text", "parse")
    }


@pytest.fixture(scope="module")
def real(shared: Path) -> Path:
    return shared / "tokenizers" / "gpt-neox-20b.json"


def expected(content: tokenizers.Tokenizer, texts: list[str]) -> list[list[int]]:
    return [content.encode(text, add_special_tokens=False).ids for text in texts]


def documents(tokens: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    return [piece.tolist() for piece in np.split(tokens, np.cumsum(lengths))[:-1]]


# Text with what tokenizers trip over: special strings and parts of them, runs of white space,
# decomposed letters, control characters.
PIECES = st.sampled_from(
    [
        EOD,
        "<|endof",
        "text|>",
        "  ",
        "   ",
        " ",
        "\n\n",
        "\t",
        "\r\n",
        "e\u0301",
        "\u212b",
        "\u00a0",
        "\x00",
        "the cat",
        "\U0001f9ec",
        "'s",
        "12",
    ]
)
TEXTS = st.lists(
    st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=12).map("".join), max_size=12
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", ["text", "parse"])
@given(texts=TEXTS)
def test_ids_are_those_of_the_reference_and_every_document_ends_in_eod(loaded, engine, mode, texts):
    tokenizer = loaded[engine, mode]
    tokens, lengths = tokenizer.encode(texts)
    assert tokens.dtype == np.dtype("<u2")
    assert lengths.dtype == np.int64
    assert documents(tokens, lengths) == [
        [*ids, 0] for ids in expected(reference(TINY, mode == "parse"), texts)
    ]
    inside = sum(ids.count(0) for ids in expected(reference(TINY, mode == "parse"), texts))
    assert np.count_nonzero(tokens == 0) - len(lengths) == inside
    assert mode == "parse" or inside == 0


@given(texts=TEXTS)
def test_batch_limits_do_not_change_a_token(loaded, texts):
    tokenizer = loaded["fastokens", "text"]
    whole = tokenizer.encode(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.tokens.tokenizer, "BATCH_CHARS", 7)
        patch.setattr(pipeline.tokens.tokenizer, "BATCH_TEXTS", 3)
        pieces = tokenizer.encode(texts)
    assert all(np.array_equal(one, other) for one, other in zip(whole, pieces, strict=True))


def test_a_batch_holds_at_most_its_limits_or_one_text(monkeypatch):
    monkeypatch.setattr(pipeline.tokens.tokenizer, "BATCH_CHARS", 10)
    monkeypatch.setattr(pipeline.tokens.tokenizer, "BATCH_TEXTS", 3)
    texts = ["x" * 4, "x" * 6, "x", "x" * 50, "", "", "", ""]
    bounds = [0, 2, 3, 4, 7, len(texts)]
    batches = [texts[low:high] for low, high in pairwise(bounds)]
    assert list(pipeline.tokens.tokenizer._batches(texts)) == batches


@pytest.mark.parametrize("engine", ENGINES)
def test_no_texts_give_no_tokens_and_an_empty_text_gives_one_eod(loaded, engine):
    tokens, lengths = loaded[engine, "text"].encode([])
    assert (tokens.size, lengths.size) == (0, 0)
    assert (tokens.dtype, lengths.dtype) == (np.dtype("<u2"), np.dtype(np.int64))
    tokens, lengths = loaded[engine, "text"].encode(["", ""])
    assert (tokens.tolist(), lengths.tolist()) == ([0, 0], [1, 1])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_forged_document_end_stays_text_unless_it_is_to_be_parsed(loaded, engine):
    text = f"one{EOD}two{EOD}"
    tokens, lengths = loaded[engine, "text"].encode([text])
    assert np.count_nonzero(tokens == 0) == 1
    tokens, lengths = loaded[engine, "parse"].encode([text, "three"])
    assert np.count_nonzero(tokens == 0) - len(lengths) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lone_surrogate_never_becomes_a_token(loaded, engine):
    with pytest.raises((UnicodeEncodeError, TypeError)):
        loaded[engine, "text"].encode(["fine", "\ud800"])


def test_a_large_vocabulary_has_32_bit_tokens(tiny):
    wide = define(TINY, padded_vocab_size=70_000)
    # the model is frozen; only the token type is looked at here
    object.__setattr__(wide, "vocab_size", 70_000)
    ids, num_ids = np.array([69_999], np.uint32), np.array([1])
    tokens, lengths = pipeline.tokens.tokenizer._framed(ids, num_ids, wide)
    assert (tokens.dtype, tokens.tolist(), lengths.tolist()) == (np.dtype("<u4"), [69_999, 0], [2])


def test_truncation_and_padding_of_the_file_are_switched_off(tmp_path):
    record = json.loads(TINY)
    record["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    record["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": 8,
        "pad_id": 1,
        "pad_type_id": 0,
        "pad_token": "!",
    }
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    texts = ["the cat sat on the mat", "x"]
    for engine in ENGINES:
        loaded = Tokenizer(path, define(TINY), engine=engine)  # type: ignore[arg-type]
        tokens, lengths = loaded.encode(texts)
        assert documents(tokens, lengths) == [
            [*ids, 0] for ids in expected(reference(TINY, False), texts)
        ]


def test_loading_makes_no_threads_and_imports_no_tokenizer_before_it_is_needed(tiny, tmp_path):
    (tmp_path / "definition.json").write_text(define(TINY).model_dump_json(), encoding="utf-8")
    program = """
import os, pathlib, sys
import pipeline.tokens.tokenizer
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
assert not {"fastokens", "tokenizers", "huggingface_hub"} & sys.modules.keys()
definition = TokenizerDefinition.model_validate_json(pathlib.Path(sys.argv[2]).read_text())
tokenizer = pipeline.tokens.tokenizer.Tokenizer(pathlib.Path(sys.argv[1]), definition)
assert (os.environ["RAYON_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"]) == ("1", "false")
assert "tokenizers" not in sys.modules, "the reference is loaded for verify only"
print(tokenizer.engine)
"""
    bare = {
        name: value
        for name, value in os.environ.items()
        if name not in ("RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM")
    }
    result = subprocess.run(
        [sys.executable, "-c", program, str(tiny), str(tmp_path / "definition.json")],
        env=bare | {"PYTHONPATH": str(Path(pipeline.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("fastokens\n", "")


# Which engine


def test_fastokens_is_used_where_it_can_be(tiny):
    tokenizer = Tokenizer(tiny, define(TINY))
    assert (tokenizer.engine, tokenizer.fallback_reason) == ("fastokens", "")


def test_tokenizers_takes_over_where_fastokens_is_missing(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastokens", None)
    tokenizer = Tokenizer(tiny, define(TINY))
    assert tokenizer.engine == "tokenizers"
    assert "fastokens" in tokenizer.fallback_reason
    ids = reference(TINY, False).encode("the cat").ids
    assert tokenizer.encode(["the cat"])[0].tolist() == [*ids, 0]
    with pytest.raises(RecipeError, match="install fastokens"):
        Tokenizer(tiny, define(TINY), engine="fastokens")


def test_tokenizers_takes_over_for_a_model_that_fastokens_does_not_know(tmp_path):
    model = tokenizers.models.WordPiece({EOD: 0, "[UNK]": 1, "the": 2, "cat": 3}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([EOD])
    path = tmp_path / "words.json"
    path.write_text(tokenizer.to_str(), encoding="utf-8")
    loaded = Tokenizer(path, define(tokenizer.to_str()))
    assert loaded.engine == "tokenizers"
    assert loaded.encode(["the cat"])[0].tolist() == [2, 3, 0]


# What is refused


def test_a_reference_that_fails_a_golden_vector_is_refused(tiny):
    wrong = define(TINY, golden=[{"text": "the cat", "ids": [7, 8]}])
    with pytest.raises(
        ManifestError,
        match=r"tokenizers \S+ gives \[.*\] for golden\[0\], the definition says \[7, 8\]",
    ):
        Tokenizer(tiny, wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 400, "padded_vocab_size": 400}, "the definition says 400"),
        (
            {"eod_id": 5},
            EOD.replace("|", r"\|") + " has id 0 among its special tokens, the definition says 5",
        ),
        ({"eod": "<eos>"}, "has id None"),
        ({"digest": "0" * 64}, "the definition says 0000"),
    ],
)
def test_a_tokenizer_that_is_not_what_the_definition_says_is_refused(tiny, change, message):
    with pytest.raises(ManifestError, match=message):
        Tokenizer(tiny, define(TINY, **change))


def test_a_file_is_compared_again_unless_it_has_the_bytes_that_were_proven(tmp_path, monkeypatch):
    path, definition = tmp_path / "tiny.json", define(TINY)
    path.write_text(TINY, encoding="utf-8")
    proven = Tokenizer(path, definition).sha256
    with monkeypatch.context() as patch:
        patch.setattr(
            pipeline.tokens.tokenizer, "known_contents", lambda _: pytest.fail("it is read again")
        )
        Tokenizer(path, definition, proven=proven)
    record = json.loads(TINY)
    record["model"]["merges"].pop()
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ManifestError, match="it is another tokenizer"):
        Tokenizer(path, definition, proven=proven)


def test_a_process_loads_the_tokenizer_of_a_recipe_and_of_its_plan_once():
    shipped = load_tokenizer_definition("sample")
    planned = TokenizerDefinition.model_validate(shipped.model_dump(mode="json"))
    path = find_tokenizer(shipped)
    first = loaded_tokenizer(path, shipped, "text")
    assert loaded_tokenizer(path, planned, "text", proven=first.sha256) is first
    assert loaded_tokenizer(path, planned, "parse") is not first


def test_dropout_is_refused(tmp_path):
    record = json.loads(TINY)
    record["model"]["dropout"] = 0.1
    path = tmp_path / "random.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    digest = canonical_digest(path.read_bytes())
    random = define(TINY, digest=digest, golden=[{"text": "", "ids": []}])
    with pytest.raises(ManifestError, match="has dropout"):
        Tokenizer(path, random)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_template_of_a_post_processor_is_never_applied(tmp_path, engine):
    tokenizer = tokenizers.Tokenizer.from_str(TINY)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{EOD} $A", special_tokens=[(EOD, 0)]
    )
    path = tmp_path / "template.json"
    path.write_text(tokenizer.to_str(), encoding="utf-8")
    tokens, _ = Tokenizer(path, define(TINY), engine=engine).encode(["the cat"])
    assert tokens.tolist() == [*expected(reference(TINY, False), ["the cat"])[0], 0]


class _Liar:
    """An engine that gives the same ids for every text."""

    name = "fastokens"

    def __init__(self, ids: list[int]) -> None:
        self._ids = ids

    def encode(self, texts: list[str], parse: bool) -> tuple[np.ndarray, np.ndarray]:
        counts = np.full(len(texts), len(self._ids), np.int64)
        return np.array(self._ids * len(texts), np.uint32), counts


@pytest.mark.parametrize(
    ("ids", "message"),
    [([5, 100_000], "gives id 100000"), ([5, 0], "which would forge a document")],
)
def test_ids_outside_the_vocabulary_and_eod_out_of_plain_text_are_refused(tiny, ids, message):
    tokenizer = Tokenizer(tiny, define(TINY))
    tokenizer._engine = _Liar(ids)  # type: ignore[assignment]
    with pytest.raises(ManifestError, match=message):
        tokenizer.encode(["the cat"])


@pytest.mark.parametrize("mode", ["text", "parse"])
def test_verify_accepts_what_encode_gives_and_finds_one_changed_token(tiny, mode):
    tokenizer = Tokenizer(tiny, define(TINY), mode)
    text = f"the cat sat on{EOD} the mat"
    tokens, _ = tokenizer.encode([text])
    tokenizer.verify(text, tokens)
    said = r"fastokens \S+ and tokenizers \S+ disagree on a text of \d+ characters from token \d+"
    other = np.where(np.arange(tokens.size) == 2, 9, tokens)
    for changed in (other, tokens[:-1], np.append(tokens, tokens[-1:])):
        with pytest.raises(ManifestError, match=said):
            tokenizer.verify(text, changed)


# Where it is found


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """No tokenizer anywhere: an empty cache folder, and a hub that cannot be reached."""

    def unreachable(*args: object, **kwargs: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *args, **kwargs: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_given_file_is_used_and_must_be_the_right_one(tiny, no_hub):
    assert find_tokenizer(define(TINY), tiny) == tiny
    other = no_hub / "other.json"
    other.write_text(train(None, []), encoding="utf-8")
    with pytest.raises(ManifestError) as refused:
        find_tokenizer(define(TINY), other)
    assert canonical_digest(other.read_bytes()) in str(refused.value)
    assert define(TINY).digest in str(refused.value)
    with pytest.raises(InputError, match="is not a file"):
        find_tokenizer(define(TINY), no_hub / "absent.json")


def test_shipped_then_cache_then_hub(tiny, no_hub, monkeypatch):
    published = define(TINY, repo="someone/tiny", revision="0123abc")
    with pytest.raises(InputError) as nowhere:
        find_tokenizer(published)
    for place in (
        "tiny-that-is-not-shipped.json",
        str(no_hub / "cache"),
        "someone/tiny at 0123abc on the hub (ConnectionError",
        "--tokenizer FILE",
    ):
        assert place in str(nowhere.value)

    hub, cache = no_hub / "hub.json", no_hub / "cache" / "tokenizers" / "tiny.json"
    shipped = no_hub / "recipes" / "tokenizers" / "tiny.json"
    calls: list[tuple[object, ...]] = []

    def download(repo: str, filename: str, revision: str) -> str:
        calls.append((repo, filename, revision))
        return str(hub)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("recipes.__file__", str(no_hub / "recipes" / "__init__.py"))
    published = published.model_copy(update={"file": "tokenizers/tiny.json"})
    for place in (hub, cache, shipped):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(TINY, encoding="utf-8")
        assert find_tokenizer(published) == place
    assert calls == [("someone/tiny", "tokenizer.json", "0123abc")]
    cache.write_text(train(None, []), encoding="utf-8")
    shipped.unlink()
    with pytest.raises(ManifestError, match="it is another tokenizer"):  # and not quietly the hub's
        find_tokenizer(published)


def test_a_hub_whose_name_is_not_known_is_asked_no_more_than_three_times(no_hub, monkeypatch):
    asked: list[object] = []

    def unknown(*args: object, **kwargs: object) -> None:
        asked.append(args)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unknown)
    monkeypatch.setattr("pipeline.places.files.time.sleep", lambda seconds: None)
    with pytest.raises(InputError, match=r"after 3 tries \(gaierror: .*--tokenizer FILE"):
        find_tokenizer(define(TINY, repo="someone/tiny", revision="0123abc"))
    assert len(asked) == 3


def test_without_a_repository_the_hub_is_not_asked(no_hub):
    with pytest.raises(InputError) as nowhere:
        find_tokenizer(define(TINY))
    assert "hub" not in str(nowhere.value)


def test_the_cache_folder_is_in_the_home_folder_by_default(no_hub, monkeypatch):
    monkeypatch.delenv("ANNEALMIX_CACHE")
    monkeypatch.setenv("HOME", str(no_hub))
    with pytest.raises(InputError) as nowhere:
        find_tokenizer(define(TINY))
    assert str(no_hub / ".cache" / "annealmix" / "tokenizers" / "tiny.json") in str(nowhere.value)


# The real tokenizer and real documents


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", ["text", "parse"])
def test_gpt_neox_20b_passes_its_golden_vectors(real, engine, mode):
    tokenizer = Tokenizer(real, load_tokenizer_definition("gpt-neox-20b"), mode, engine)
    tokens, lengths = tokenizer.encode([f"a{EOD}b<|padding|>"])
    assert np.count_nonzero(tokens == 0) - len(lengths) == (mode == "parse")
    assert (1 in tokens.tolist()) == (mode == "parse")


@pytest.fixture(scope="module")
def gpt_neox(real: Path) -> tuple[Tokenizer, Tokenizer, tokenizers.Tokenizer]:
    definition = load_tokenizer_definition("gpt-neox-20b")
    return (
        Tokenizer(real, definition),
        Tokenizer(real, definition, "parse"),
        reference(real.read_text(encoding="utf-8"), parse=False),
    )


@given(texts=TEXTS)
def test_gpt_neox_20b_ids_are_those_of_the_reference(gpt_neox, texts):
    as_text, parsing, oracle = gpt_neox
    for tokenizer in (as_text, parsing):
        oracle.encode_special_tokens = tokenizer is as_text
        assert documents(*tokenizer.encode(texts)) == [[*ids, 0] for ids in expected(oracle, texts)]


@pytest.mark.parametrize(
    "text",
    [" " * 1_000_000, "\n" * 1_000_000, "a" * 1_000_000, "7" * 1_000_000, "e\u0301" * 300_000],
)
def test_a_megabyte_of_one_character_is_tokenized_like_any_text(gpt_neox, text):
    as_text, _, oracle = gpt_neox
    oracle.encode_special_tokens = True
    tokens, _ = as_text.encode([text])
    assert tokens[:-1].tolist() == oracle.encode_batch_fast([text], add_special_tokens=False)[0].ids


def published_texts(data: Path) -> Iterator[tuple[str, str]]:
    """(file, text) of every document of the real data, read without the project's own readers."""
    for file in sorted(data.rglob("*.json.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from ((file.name, json.loads(line)["text"]) for line in lines)
    for file in sorted(data.rglob("*.jsonl.zst")):
        unpack = zstandard.ZstdDecompressor()
        stream = unpack.stream_reader(file.read_bytes(), read_across_frames=True)
        lines = io.TextIOWrapper(stream, encoding="utf-8")
        yield from ((file.name, json.loads(line)["text"]) for line in lines)
    for file in sorted(data.rglob("*.parquet")):
        texts = pq.read_table(file, columns=["text"])["text"].to_pylist()
        yield from ((file.name, text) for text in texts)
    for file in sorted(data.rglob("*.zip")):
        with zipfile.ZipFile(file) as archive:
            for member in sorted(archive.namelist()):
                if member.endswith(".json"):
                    record = json.loads(archive.read(member))
                    yield file.name, f"{record['message_1']}\n\n{record['message_2']}"


def mismatches(
    gpt_neox: tuple[Tokenizer, Tokenizer, tokenizers.Tokenizer], found: list[tuple[str, str]]
) -> list[str]:
    as_text, _, oracle = gpt_neox
    oracle.encode_special_tokens = True
    wrong: list[str] = []
    for start in range(0, len(found), 500):
        batch = found[start : start + 500]
        ours = documents(*as_text.encode([text for _, text in batch]))
        theirs = oracle.encode_batch_fast([text for _, text in batch], add_special_tokens=False)
        pairs = zip(batch, ours, theirs, strict=True)
        wrong += [
            f"{name}: {text[:60]!r}"
            for (name, text), tokens, encoding in pairs
            if tokens != [*encoding.ids, 0]
        ]
    return wrong


def test_ids_equal_the_reference_on_a_sample_of_real_documents(gpt_neox, shared):
    found = list(published_texts(shared / "data"))[::40]
    assert len(found) > 500
    assert mismatches(gpt_neox, found) == []


@pytest.mark.campaign
def test_ids_equal_the_reference_on_every_real_document(gpt_neox, shared, capsys):
    found = list(published_texts(shared / "data"))
    wrong = mismatches(gpt_neox, found)
    with capsys.disabled():
        megabytes = sum(len(text.encode()) for _, text in found) / 1e6
        print(f"\n{len(found):,} documents, {megabytes:.1f} MB of text, {len(wrong)} mismatches")
    assert wrong == []
    assert len(found) > 20_000
