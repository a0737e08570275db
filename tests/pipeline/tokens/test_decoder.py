"""Ids spell the normalised text again, as in the reference library; a tokenizer whose ids do not is
refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

import recipes
from mixtures.errors import AuditFailed, RecipeError
from pipeline.tokens.decoder import BLOCK_TOKENS, Decoder, byte_letters
from pipeline.tokens.find import find_tokenizer
from pipeline.tokens.tokenizer import Tokenizer
from tests.pipeline.corpus import nfc, tokenizer
from tests.pipeline.tokens.test_tokenizer import TEXTS, published_texts

SAMPLE = (Path(recipes.__file__).parent / "sample" / "tokenizer.json").read_bytes()
REFERENCE, DECODER = tokenizer(), Decoder(SAMPLE, "sample")


def read_back(decoder: Decoder, rows: list[list[int]], before: int = 0) -> list[str]:
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    return decoder.texts(
        np.array([number for row in rows for number in row], np.uint16), starts, ends, before
    )


@given(texts=TEXTS.filter(bool))
def test_ids_spell_the_normalised_text_as_in_the_reference_library(texts):
    rows = [encoding.ids for encoding in REFERENCE.encode_batch(texts, add_special_tokens=False)]
    assert (
        read_back(DECODER, rows)
        == [nfc(text) for text in texts]
        == REFERENCE.decode_batch(rows, skip_special_tokens=False)
    )


@given(rows=st.lists(st.lists(st.integers(0, 1999), max_size=30), min_size=1, max_size=6))
def test_any_ids_are_read_as_the_reference_library_reads_them(rows):
    assert read_back(DECODER, rows) == REFERENCE.decode_batch(rows, skip_special_tokens=False)


def test_texts_longer_than_a_block_and_empty_ones_are_read_whole():
    texts = ["", "stone bridge caf\u00e9 \U0001f9ec " * BLOCK_TOKENS, "", "mill"]
    rows = [encoding.ids for encoding in REFERENCE.encode_batch(texts, add_special_tokens=False)]
    assert sum(map(len, rows)) > 3 * BLOCK_TOKENS
    assert read_back(DECODER, rows) == texts


def test_letters_of_bytes_are_those_of_the_reference_library():
    assert sorted(byte_letters()) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_letters().values()) == list(range(256))


def test_an_unknown_id_is_named_by_its_place_in_the_stream():
    row = [5] * BLOCK_TOKENS + [2000]
    with pytest.raises(
        AuditFailed, match=f"token {BLOCK_TOKENS + 7:,} is id 2,000, which sample does not have"
    ):
        read_back(DECODER, [row], 7)
    with pytest.raises(AuditFailed, match="token 1 is id -1"):
        DECODER.texts(np.array([5, -1], np.int32), np.array([0]), np.array([2]))


def test_special_tokens_are_their_strings_and_known_as_special():
    assert read_back(DECODER, [[0, 36, 1]]) == ["<|endoftext|>C<|padding|>"]
    assert DECODER.special_ids == {0, 1}


def lower_case(form: dict[str, Any]) -> None:
    form["normalizer"] = {"type": "Lowercase"}


def prefix_space(form: dict[str, Any]) -> None:
    form["pre_tokenizer"]["add_prefix_space"] = True


def no_bytes(form: dict[str, Any]) -> None:
    form["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"String": "x"},
        "behavior": "Isolated",
        "invert": False,
    }


def removing(form: dict[str, Any]) -> None:
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}
    form["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, form["pre_tokenizer"]]}


def swallowing(form: dict[str, Any]) -> None:
    form["added_tokens"][1]["lstrip"] = True


def byte_fallback(form: dict[str, Any]) -> None:
    form["model"]["byte_fallback"] = True


def strange_letter(form: dict[str, Any]) -> None:
    form["model"]["vocab"]["\u5ddd"] = len(form["model"]["vocab"])


@pytest.mark.parametrize(
    "change",
    [lower_case, prefix_space, no_bytes, removing, swallowing, byte_fallback, strange_letter],
)
def test_a_tokenizer_whose_ids_do_not_spell_its_texts_is_refused(
    change: Callable[[dict[str, Any]], None],
):
    form = json.loads(SAMPLE)
    Decoder(json.dumps(form).encode(), "unchanged")
    change(form)
    with pytest.raises(
        RecipeError,
        match=r"changed: texts cannot be read back from its ids: .*; byte-level BPE is needed",
    ):
        Decoder(json.dumps(form).encode(), "changed")


def test_real_documents_are_read_back_in_nfc_as_the_reference_library_reads_them(shared):
    from mixtures.recipe.load import load_tokenizer_definition

    definition = load_tokenizer_definition("gpt-neox-20b")
    path = find_tokenizer(definition, shared / "tokenizers" / "gpt-neox-20b.json")
    texts = [text for _, text in published_texts(shared / "data")][::40]
    tokens, lengths = Tokenizer(path, definition).encode(texts)
    ends = np.cumsum(lengths)
    found = Decoder(path.read_bytes(), "real").texts(tokens, ends - lengths, ends - 1)
    assert found == [nfc(text) for text in texts]
    assert len(texts) > 500
    rows = [row[:-1].tolist() for row in np.split(tokens, ends)[:100]]
    assert found[:100] == tokenizers.Tokenizer.from_file(str(path)).decode_batch(
        rows, skip_special_tokens=False
    )
