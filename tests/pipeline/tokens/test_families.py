"""Ten families of tokenizers, small ones with the pre-tokenizers, normalisers, templates and added
tokens that theirs have: ids are those of `tokenizers` without the template, whatever engine makes
them, and texts come back from those that can give them back.

The published files themselves are compared by `python -m tests.benchmarks.bench_tokenizers`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

import pipeline.tokens.engines
from mixtures.errors import RecipeError
from mixtures.recipe.tokenizer.form import contents
from mixtures.recipe.tokenizer.request import TokenizerRequest, define
from pipeline.tokens import tokenizer as loading
from pipeline.tokens.decoder import Decoder
from pipeline.tokens.probes import probes

CORPUS = [
    "The cat sat on the mat, isn't it? 3,141 and WE'LL see.",
    "def f(x):\n        return x  # 12345\n\n\n\t\tend",
    "na\u00efve caf\u00e9 \u8a00\u8a9e \U0001f9ec \u0420\u0443\u0441\u0441\u043a\u0438\u0439",
] * 30
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPLIT = [
    pre.Split(Regex(r"\p{N}{1,3}"), "isolated"),
    pre.Split(Regex("[\u4e00-\u9fa5\u3040-\u30ff]+"), "isolated"),
    pre.ByteLevel(add_prefix_space=False, use_regex=False),
]


def byte_level(pre_tokenizer: Any, normalizer: Any = None, **model: Any) -> Tokenizer:
    made = Tokenizer(models.BPE(**model))
    made.normalizer, made.pre_tokenizer = normalizer, pre_tokenizer
    made.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.add_tokens([AddedToken("    ", normalized=False)])
    return made


def fallback(normalizer: Any, pre_tokenizer: Any = None) -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.pre_tokenizer = pre.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<unk>", "<s>", "</s>", *BYTES], show_progress=False
    )
    # with all letters that the probes have, as published ones have them; where they are left to
    # bytes, fastokens differs on `<0x0A>` and gives way
    made.train_from_iterator([*CORPUS, *probes([])], trainer)
    record = json.loads(made.to_str())
    record["added_tokens"] = record["added_tokens"][:3]
    made = Tokenizer.from_str(json.dumps({**record, "pre_tokenizer": None}))
    made.normalizer = normalizer
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    return made


def unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    made.pre_tokenizer = pre.Metaspace()
    made.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=200,
            special_tokens=["<pad>", "</s>", "<s>", "<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    return made


def word_piece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[UNK]", "<s>", "</s>"], show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


def to_space() -> Any:
    return normalizers.Replace(" ", "\u2581")


FAMILIES: dict[str, tuple[Callable[[], Tokenizer], str, bool]] = {
    "gpt-2": (lambda: byte_level(pre.ByteLevel(add_prefix_space=False)), "fastokens", True),
    "gpt-neox": (
        lambda: byte_level(pre.ByteLevel(add_prefix_space=False), normalizers.NFC()),
        "fastokens",
        True,
    ),
    "llama-3, olmo-2": (
        lambda: byte_level(
            pre.Sequence([pre.Split(Regex(GPT4), "isolated"), SPLIT[-1]]), ignore_merges=True
        ),
        "fastokens",
        True,
    ),
    "qwen": (
        lambda: byte_level(
            pre.Sequence([pre.Split(Regex(GPT4.replace("{1,3}", "")), "isolated"), SPLIT[-1]]),
            normalizers.NFC(),
        ),
        "fastokens",
        True,
    ),
    "smollm": (
        lambda: byte_level(
            pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(False, True)])
        ),
        "fastokens",
        True,
    ),
    "deepseek": (lambda: byte_level(pre.Sequence(SPLIT)), "fastokens", True),
    "llama-2": (
        lambda: fallback(normalizers.Sequence([normalizers.Prepend("\u2581"), to_space()])),
        "fastokens",
        True,
    ),
    "gemma": (
        lambda: fallback(to_space(), pre.Split(" ", "merged_with_previous")),
        "fastokens",
        True,
    ),
    "mistral": (
        lambda: fallback(None, pre.Metaspace(prepend_scheme="first", split=False)),
        "tokenizers",
        False,
    ),
    "nfkc": (
        lambda: byte_level(pre.ByteLevel(add_prefix_space=False), normalizers.NFKC()),
        "tokenizers",
        False,
    ),
    "t5, xlm-r": (unigram, "tokenizers", False),
    "bert": (word_piece, "tokenizers", False),
}
TEXTS = ["", " ", "a", "\u2581 x", "  The cat   sat.\n\n", *dict.fromkeys(CORPUS)]


@cache
def family(name: str) -> str:
    """The tokenizer.json of a family, with a template that adds BOS and EOD."""
    made = FAMILIES[name][0]()
    ends = [(token, made.token_to_id(token)) for token in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return str(made.to_str())


def load(name: str, folder: Path, mode: Any = "text", **asked: Any) -> loading.Tokenizer:
    path = folder / "made.json"
    path.write_text(family(name))
    request = TokenizerRequest(file="made.json", **({"eod": "</s>", "bos": "<s>"} | asked))
    return loading.Tokenizer(path, define(request, path.read_bytes(), None), mode)


def reference(name: str, parse: bool = False) -> Tokenizer:
    made = Tokenizer.from_str(json.dumps({**json.loads(family(name)), "post_processor": None}))
    made.encode_special_tokens = not parse
    return made


def rows(tokens: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    return [piece.tolist() for piece in np.split(tokens, np.cumsum(lengths))[:-1]]


@pytest.mark.parametrize("mode", ["text", "parse"])
@pytest.mark.parametrize("name", FAMILIES)
def test_ids_are_those_of_tokenizers_without_the_template(name, mode, tmp_path):
    loaded, plain = load(name, tmp_path, mode), reference(name, mode == "parse")
    assert loaded.engine == FAMILIES[name][1]
    assert bool(loaded.fallback_reason) == (loaded.engine == "tokenizers")
    texts = TEXTS + probes(contents(family(name).encode()).added)
    if name == "t5, xlm-r" and mode == "text":
        texts = [text for text in texts if not set("<[") & set(text)]  # its own test is below
    eod, bos = loaded.definition.eod_id, loaded.definition.bos_id
    assert rows(*loaded.encode(texts)) == [
        [bos, *plain.encode(text, add_special_tokens=False).ids, eod] for text in texts
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_come_back_or_it_is_said_why_not(name, tmp_path):
    content = family(name).encode()
    if not FAMILIES[name][2]:
        with pytest.raises(RecipeError, match="texts cannot be read back from its ids"):
            Decoder(content, name)
        return
    decoder, loaded = Decoder(content, name), load(name, tmp_path)
    texts = TEXTS + probes(contents(content).added)
    tokens, lengths = loaded.encode(texts)
    ends = np.cumsum(lengths)
    back = decoder.texts(tokens, ends - lengths + 1, ends - 1)
    normalizer = json.loads(family(name))["normalizer"]
    if normalizer and normalizer["type"] == "NFC":
        texts = [reference(name).normalizer.normalize_str(text) for text in texts]
    elif name in ("llama-2", "gemma"):
        texts = [text.replace("\u2581", " ") for text in texts]
    assert back == texts


def test_a_parsed_special_string_does_not_leave_its_space_behind(tmp_path):
    """The normaliser of Llama-2 puts a space before each stretch between special tokens."""
    decoder, loaded = Decoder(family("llama-2").encode(), ""), load("llama-2", tmp_path, "parse")
    texts = ["a</s>b </s> c", "</s>", " </s></s>x"]
    tokens, lengths = loaded.encode(texts)
    ends = np.cumsum(lengths)
    assert decoder.texts(tokens, ends - lengths + 1, ends - 1) == texts


def test_no_text_spells_a_special_piece_of_a_unigram_vocabulary(tmp_path):
    name, text = "t5, xlm-r", "see </s> and <s>, <pad>"
    assert 1 in reference(name).encode(text, add_special_tokens=False).ids, (
        "as it matches by itself"
    )
    loaded = load(name, tmp_path)
    (ids,) = rows(*loaded.encode([text]))
    special = {
        token.id for token in contents(family(name).encode()).added if token.content != "<unk>"
    }
    assert not special & set(ids[1:-1])
    loaded.verify(text, np.array(ids, loaded.definition.dtype))


def test_added_tokens_beside_a_unigram_vocabulary_keep_their_ids():
    model = models.Unigram([("<unk>", 0.0), ("</s>", 0.0), *((c, -1.0) for c in "abfo<>")], 0)
    made = Tokenizer(model)
    made.add_special_tokens(["</s>", "<pad>"])
    made.add_tokens(["<foo>"])
    engine = pipeline.tokens.engines.Reference(made.to_str().encode())
    tokens, _ = engine.encode(["a<foo>b"], parse=False)
    assert tokens.tolist() == made.encode("a<foo>b", add_special_tokens=False).ids
    assert made.token_to_id("<foo>") in tokens


def test_a_model_that_makes_eod_of_plain_text_is_refused_but_for_parsing(tmp_path):
    model = models.WordLevel({"[UNK]": 0, "</s>": 1, "a": 2, "<s>": 3}, unk_token="[UNK]")
    made = Tokenizer(model)
    made.pre_tokenizer = pre.WhitespaceSplit()
    made.add_special_tokens(["</s>", "<s>"])
    path = tmp_path / "words.json"
    path.write_text(made.to_str())
    definition = define(TokenizerRequest(file="words.json", eod="</s>"), path.read_bytes(), None)
    with pytest.raises(RecipeError, match="a text could forge a document's end"):
        loading.Tokenizer(path, definition)
    assert loading.Tokenizer(path, definition, "parse").encode(["a </s>"])[0].tolist() == [2, 1, 1]


def test_an_engine_that_panics_gives_way(tmp_path, monkeypatch):
    class PanicException(BaseException):
        """As the native library raises it."""

    class Panics(pipeline.tokens.engines.Fastokens):
        def encode(self, texts: list[str], *, parse: bool) -> Any:
            raise PanicException("index out of bounds")

    monkeypatch.setitem(pipeline.tokens.engines.ENGINES, "fastokens", Panics)
    loaded = load("gpt-2", tmp_path)
    assert (loaded.engine, loaded.fallback_reason) == (
        "tokenizers",
        "fastokens cannot do it (it panics: index out of bounds)",
    )


def test_the_engine_that_is_asked_for_is_taken_and_changes_no_id(tmp_path):
    asked = load("gpt-2", tmp_path, engine="tokenizers")
    assert (asked.engine, asked.fallback_reason) == ("tokenizers", "")
    assert "about 1 to 2 MB of text a second and core" in asked.speed
    assert np.array_equal(asked.encode(TEXTS)[0], load("gpt-2", tmp_path).encode(TEXTS)[0])
    with pytest.raises(RecipeError, match="fastokens cannot load"):
        load("bert", tmp_path, engine="fastokens")
