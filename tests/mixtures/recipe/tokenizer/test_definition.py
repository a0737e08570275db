"""The canonical digest tells tokenizers apart, and nothing else; a definition that contradicts
itself is refused.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mixtures.errors import ManifestError
from mixtures.recipe.load import load_tokenizer_definition
from mixtures.recipe.tokenizer.definition import ShippedTokenizer, TokenizerDefinition, token_dtype
from mixtures.recipe.tokenizer.form import canonical_digest

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")

DEFINITION: dict[str, Any] = {
    "name": "tiny",
    "repo": "someone/tiny",
    "revision": "0123abc",
    "digest": "0" * 64,
    "eod": "<eod>",
    "eod_id": "0",
    "vocab_size": "300",
    "padded_vocab_size": "320",
    "golden": [{"text": "a", "ids": ["5"]}],
    "licence": "Apache-2.0",
}


def added(number: int, content: str, **flags: bool) -> dict[str, Any]:
    return {"id": number, "content": content} | dict.fromkeys(FLAGS, False) | flags


def tokenizer_json(letters: str = "abcd") -> dict[str, Any]:
    """A byte-level BPE of five to nine tokens, written the way Hugging Face tokenizers saves
    one.
    """
    vocab = {
        token: number for number, token in enumerate(["<eod>", *letters, letters[:2], letters[:3]])
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(0, "<eod>", special=True), added(len(vocab), "  ", normalized=True)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": False,
            "use_regex": True,
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [[letters[0], letters[1]], [letters[:2], letters[2]]],
        },
    }


def digest_of(tokenizer: dict[str, Any], indent: int | None = None) -> str:
    return canonical_digest(
        json.dumps(tokenizer, indent=indent, ensure_ascii=indent is None).encode()
    )


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same JSON value with the keys of all objects in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def test_digest_of_a_tiny_tokenizer_is_pinned():
    # A change of the canonical form changes every pinned digest: it needs another CANONICAL_FORMAT.
    assert (
        digest_of(tokenizer_json())
        == "c35cefeed59d581073c90733971d1e1af2b84ce97a29db4c53a1edf08234e139"
    )


@given(
    st.randoms(use_true_random=False),
    st.sampled_from([None, 0, 2]),
    st.permutations("abcdefgh").map("".join),
)
def test_order_of_keys_white_space_and_escapes_keep_the_digest(rng, indent, letters):
    tokenizer = tokenizer_json(letters)
    assert digest_of(shuffled(tokenizer, rng), indent) == digest_of(tokenizer)


def test_both_published_forms_of_merges_have_one_digest():
    tokenizer = tokenizer_json()
    tokenizer["model"]["merges"] = ["#version: 0.2", "a b", "ab c"]
    assert digest_of(tokenizer) == digest_of(tokenizer_json())


@pytest.mark.parametrize(
    ("where", "key"),
    [
        (("model",), key)
        for key in (
            "dropout",
            "unk_token",
            "fuse_unk",
            "byte_fallback",
            "ignore_merges",
            "continuing_subword_prefix",
        )
    ]
    + [
        (("pre_tokenizer",), "use_regex"),
        (("pre_tokenizer",), "trim_offsets"),
        (("model",), "type"),
    ]
    + [((), key) for key in ("version", "truncation", "padding", "post_processor", "decoder")],
)
def test_what_is_absent_counts_as_its_default_and_what_changes_no_id_does_not_count(where, key):
    tokenizer = tokenizer_json()
    del (tokenizer[where[0]] if where else tokenizer)[key]
    assert digest_of(tokenizer) == digest_of(tokenizer_json())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model", "continuing_subword_prefix"), ""),
        (("model", "end_of_word_suffix"), ""),
        (("model", "dropout"), 0.0),
        (("truncation",), {"max_length": 4}),
        (("padding",), {"strategy": "BatchLongest"}),
        (("pre_tokenizer", "trim_offsets"), False),
        (("decoder",), None),
    ],
)
def test_values_that_act_alike_have_one_digest(path, value):
    tokenizer = tokenizer_json()
    set_at(tokenizer, path, value)
    assert digest_of(tokenizer) == digest_of(tokenizer_json())


def set_at(tokenizer: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    target: Any = tokenizer
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model", "merges"), [["a", "b"]]),
        (("model", "merges"), [["ab", "c"], ["a", "b"]]),
        (("model", "merges", 1), ["a", "bc"]),
        (("model", "vocab"), {"<eod>": 0, "b": 1, "a": 2, "c": 3, "d": 4, "ab": 5, "abc": 6}),
        (("model", "vocab", "é"), 7),
        (("model", "dropout"), 0.1),
        (("model", "byte_fallback"), True),
        (("model", "ignore_merges"), True),
        (("model", "fuse_unk"), True),
        (("model", "unk_token"), "a"),
        (("model", "end_of_word_suffix"), "</w>"),
        (("model", "something_new"), 1),
        (("model", "type"), "WordPiece"),
        (("normalizer",), None),
        (("normalizer", "type"), "NFKC"),
        (
            ("normalizer",),
            {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
        ),
        (("pre_tokenizer", "add_prefix_space"), True),
        (("pre_tokenizer", "use_regex"), False),
        (("added_tokens", 0, "content"), "<|unk|>"),
        (("added_tokens", 1, "content"), "   "),
        *((("added_tokens", 1, flag), flag != "normalized") for flag in FLAGS),
        (("added_tokens",), [added(0, "<eod>", special=True)]),
    ],
)
def test_one_changed_merge_id_flag_or_parameter_changes_the_digest(path, value):
    tokenizer = tokenizer_json()
    if path[:2] == ("model", "vocab") or path == ("added_tokens", 0, "content"):
        tokenizer["added_tokens"] = []  # their ids follow from the vocabulary
    before = digest_of(tokenizer)
    if path == ("added_tokens", 0, "content"):
        tokenizer["added_tokens"] = [added(7, "<eos>", special=True)]
        before = digest_of(tokenizer)
    set_at(tokenizer, path, value)
    assert digest_of(tokenizer) != before


def test_added_tokens_whose_ids_depend_on_the_reader_are_refused():
    # The reference library numbers added tokens in the file's order; fastokens takes the stated id.
    tokenizer = tokenizer_json()
    tokenizer["added_tokens"] += [added(8, "   "), added(9, "    ")]
    digest_of(tokenizer)
    tokenizer["added_tokens"][1:] = reversed(tokenizer["added_tokens"][1:])
    with pytest.raises(ManifestError, match=r"states id 9, but read in the file's order it gets 7"):
        digest_of(tokenizer)
    tokenizer["added_tokens"][1:] = [added(8, "  ")]
    with pytest.raises(ManifestError, match="states id 8"):
        digest_of(tokenizer)


def test_order_of_added_tokens_that_the_vocabulary_numbers_does_not_matter():
    tokenizer, other = tokenizer_json(), tokenizer_json()
    tokenizer["added_tokens"] = [added(0, "<eod>", special=True), added(3, "c")]
    other["added_tokens"] = [added(3, "c"), added(0, "<eod>", special=True)]
    assert digest_of(tokenizer) == digest_of(other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"model": \xff}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"model": 1, "model": 2}', "'model' stands twice"),
        (b'{"model": NaN}', "NaN"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "not laid out"),
        (b"{}", "not laid out"),
        (b'{"model": null}', "not laid out"),
        (b'{"model": {"type": "BPE", "vocab": {}}}', "not laid out"),
        (b'{"model": {"vocab": {}}}', "names no type"),
        (b'{"model": {"vocab": {"a": "0"}, "merges": []}}', "'0' is not a token id"),
        (b'{"model": {"vocab": {"a": true}, "merges": []}}', "True is not a token id"),
        (b'{"model": {"vocab": {"a": -1}, "merges": []}}', "-1 is not a token id"),
        (b'{"model": {"vocab": {}, "merges": ["a b c"]}}', "merge 'a b c' is neither"),
        (b'{"model": {"vocab": {}, "merges": [["a"]]}}', "neither"),
        (b'{"model": {"vocab": {}, "merges": [7]}}', "neither"),
        (
            b'{"model": {"vocab": {}, "merges": []}, "added_tokens": [{"id": 0, "content": "x"}]}',
            "not laid out",
        ),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(content, message):
    with pytest.raises(ManifestError, match=message):
        canonical_digest(content)


def test_an_added_token_with_an_unknown_flag_is_refused():
    tokenizer = tokenizer_json()
    tokenizer["added_tokens"][0]["hidden"] = True
    with pytest.raises(ManifestError, match="needs exactly id, content and the flags"):
        digest_of(tokenizer)


@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [(1, "<u2"), (50_277, "<u2"), (65_536, "<u2"), (65_537, "<u4"), (1 << 31, "<u4")],
)
def test_tokens_are_16_bits_up_to_65536_ids_and_little_endian(vocab_size, dtype):
    assert token_dtype(vocab_size) == np.dtype(dtype)
    assert token_dtype(vocab_size).newbyteorder("<") == token_dtype(vocab_size)
    assert vocab_size - 1 <= np.iinfo(token_dtype(vocab_size)).max


@pytest.mark.parametrize("vocab_size", [0, -1, (1 << 31) + 1])
def test_a_vocabulary_that_no_token_type_holds_is_refused(vocab_size):
    with pytest.raises(ValueError, match="can be stored"):
        token_dtype(vocab_size)


def test_a_definition_reads_its_scalars_as_text():
    definition = TokenizerDefinition.model_validate(DEFINITION)
    assert (definition.eod_id, definition.vocab_size, definition.golden[0].ids) == (0, 300, (5,))
    assert definition.dtype == np.dtype("<u2")
    assert TokenizerDefinition.model_validate(definition.model_dump(mode="json")) == definition


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo": None, "revision": None}, "neither repo nor file"),
        ({"revision": None}, "one of repo and revision"),
        ({"eod_id": "300"}, "eod_id < vocab_size <= padded_vocab_size"),
        ({"padded_vocab_size": "299"}, "eod_id < vocab_size <= padded_vocab_size"),
        ({"golden": [{"text": "a", "ids": ["300"]}]}, r"golden\[0\] has id 300"),
        ({"golden": []}, "at least 1"),
        ({"bos": "<s>"}, "one of bos and bos_id"),
        ({"bos": "<s>", "bos_id": "0"}, "another id than eod_id"),
        ({"bos": "<s>", "bos_id": "300"}, "below vocab_size"),
        ({"digest": "abc"}, "digest"),
        ({"file": "../elsewhere/tokenizer.json"}, "file"),
        ({"file": "/etc/passwd"}, "file"),
        ({"filename": "../tokenizer.json"}, "filename"),
        ({"flavour": "x"}, "flavour"),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        ShippedTokenizer.model_validate(DEFINITION | change)


def test_gpt_neox_20b_is_defined_as_published():
    definition = load_tokenizer_definition("gpt-neox-20b")
    assert (definition.eod, definition.eod_id) == ("<|endoftext|>", 0)
    assert (definition.vocab_size, definition.padded_vocab_size) == (50_277, 50_304)
    assert definition.dtype == np.dtype("<u2")
    assert len(definition.golden) >= 6
    assert any(
        "<|endoftext|>" in vector.text and 0 not in vector.ids for vector in definition.golden
    )


def test_the_real_gpt_neox_20b_file_has_the_pinned_digest_in_either_form(shared: Path):
    content = (shared / "tokenizers" / "gpt-neox-20b.json").read_bytes()
    definition = load_tokenizer_definition("gpt-neox-20b")
    assert canonical_digest(content) == definition.digest
    tokenizer = json.loads(content)
    listed = copy.deepcopy(tokenizer)
    listed["model"]["merges"] = [merge.split(" ") for merge in tokenizer["model"]["merges"]]
    assert digest_of(listed, 2) == definition.digest
    trap = content.replace(b"<|padding|>", b"<|unk|>")  # a copy with this id 1 is in circulation
    assert trap != content
    assert canonical_digest(trap) != definition.digest


def test_the_file_on_the_hub_has_other_bytes_and_the_same_digest(shared: Path):
    # What the repository publishes at the pinned revision is the file of the GPT-NeoX release,
    # saved anew: other key order, use_regex written out, no ASCII escapes. Its SHA-256 is
    # published; the bytes are made here from the release's.
    tokenizer = json.loads((shared / "tokenizers" / "gpt-neox-20b.json").read_bytes())
    tokenizer["added_tokens"] = [
        {key: token[key] for key in ("id", "content", *FLAGS)}
        for token in tokenizer["added_tokens"]
    ]
    for step in ("pre_tokenizer", "post_processor", "decoder"):
        tokenizer[step]["use_regex"] = True
    content = json.dumps(tokenizer, ensure_ascii=False, indent=2).encode()
    published = "c24618a1b3e6a38167beff1c72cffd126c3a66254347304b50547d12c5f25624"
    assert published in (
        hashlib.sha256(content).hexdigest(),
        hashlib.sha256(content + b"\n").hexdigest(),
    )
    assert canonical_digest(content) == load_tokenizer_definition("gpt-neox-20b").digest
