"""Tokens that spell a term are those of which a byte lies in it, and no others: texts are put
together of terms and of what tokenizers trip over, and the bytes of every id are read from its
tokenizer.json by the test itself.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from mixtures.rules.terms import Mode
from pipeline.judges.annotators.blocklist import Blocklist
from pipeline.judges.term_mask import TermMask
from pipeline.tokens.decoder import Decoder
from tests.pipeline.corpus import nfc
from tests.pipeline.tokens.test_families import family

TERMS = ("zorvex", "K\u00f6ln fever", "fever virus", "\ud55c\uae00 mill")
SHOWN: dict[Mode, tuple[str, ...]] = {
    "words": (
        *(
            "zorvex",
            "ZORVEX",
            "zor\u00advex",
            "Zor\u200bvex",
            "\uff3a\uff2f\uff32\uff36\uff25\uff38",
        ),
        *("K\u00f6ln fever", "Ko\u0308ln\r\n\tfever", "KO\u0308LN--FEVER", "fever \u2014 virus"),
        *("\u1112\u1161\u11ab\u1100\u1173\u11af mill", "Ko\u0308ln fever virus"),
    ),
    "published": (
        *("zorvex", "preZORVEXing", "K\u00f6ln fever", "KO\u0308LN FEVER", "fever virus"),
        *("\u1112\u1161\u11ab\u1100\u1173\u11af mill", "\u0130zorvex"),
    ),
}
"""As terms are written in texts; of "published" the letters around them are cut off below."""
NOISE = st.sampled_from(
    [
        *(
            "</s>",
            "<s>",
            "<|endoftext|>",
            "\r\n",
            "    ",
            "e\u0301",
            "\u212b",
            "a\u0323\u0301",
            "12",
        ),
        *(
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "\U0001f9ec",
            "\u8a00\u8a9e",
            "\u0301",
            ".",
        ),
        *("\u1112\u1161\u11ab", "\x00", "zor vex", "fevers virus", "The cat", "\u0130", "\ufb01"),
    ]
) | st.text(st.characters(exclude_characters="\u2581", exclude_categories=["Cs"]), max_size=4)
FAMILIES = ("gpt-2", "gpt-neox", "llama-3, olmo-2", "qwen", "llama-2", "gemma")
EOD = 1


@cache
def reference(name: str) -> Tokenizer:
    made = Tokenizer.from_str(family(name))
    made.encode_special_tokens = True
    return made


@cache
def mask(name: str, mode: Mode) -> TermMask:
    return TermMask(Blocklist(TERMS, mode), Decoder(family(name).encode(), name))


@cache
def letters() -> dict[str, int]:
    """{letter: byte} of byte-level BPE: bytes that are no letters follow from U+0100."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    found = {chr(byte): byte for byte in plain}
    return found | {chr(256 + number): byte for number, byte in enumerate(rest)}


def spelled(name: str, ids: list[int]) -> list[bytes]:
    """The bytes of each id."""
    form = json.loads(family(name))
    added = {one["id"]: one["content"].encode() for one in form["added_tokens"]}
    by_id = {number: piece for piece, number in form["model"]["vocab"].items()}
    pieces = []
    for number in ids:
        piece = by_id.get(number, "")
        if number in added:
            pieces.append(added[number])
        elif not form["model"]["byte_fallback"]:
            pieces.append(bytes(letters()[letter] for letter in piece))
        elif byte := re.fullmatch("<0x(..)>", piece):
            pieces.append(bytes.fromhex(byte[1]))
        else:
            pieces.append(piece.replace("\u2581", " ").encode())
    if name == "llama-2" and pieces:
        pieces[0] = pieces[0][1:]  # its normaliser put a space before the text
    return pieces


def normal(name: str, text: str) -> str:
    return nfc(text) if name in ("gpt-neox", "qwen") else text


@st.composite
def documents(draw: Any, mode: Mode) -> list[list[tuple[str, bool]]]:
    """Pieces of texts, and whether each is a term."""
    piece = st.tuples(st.sampled_from(SHOWN[mode]), st.just(True)) | st.tuples(
        NOISE, st.just(False)
    )
    found: list[list[tuple[str, bool]]] = draw(
        st.lists(st.lists(piece, max_size=6), min_size=1, max_size=4)
    )
    return found


def masked_by_hand(
    name: str, mode: Mode, document: list[tuple[str, bool]], ids: list[int]
) -> npt.NDArray[np.bool_]:
    """Which tokens have a byte in a term, bool [num_tokens]."""
    content, inside = b"", list[bool]()
    for number, (piece, is_term) in enumerate(document):
        before, term, after = "", piece, ""
        if mode == "published" and is_term:
            around = re.fullmatch("(pre|\u0130)?(.*?)(ing)?", piece, re.DOTALL)
            assert around is not None
            before, term, after = around.groups("")
        for part, named in ((" " * (number > 0) + before, False), (term, is_term), (after, False)):
            raw = normal(name, part).encode()
            content += raw
            inside += [named] * len(raw)
    pieces = spelled(name, ids)
    assert b"".join(pieces) == content
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    return np.array(
        [any(inside[end - len(piece) : end]) for end, piece in zip(ends, pieces, strict=True)],
        np.bool_,
    )


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("mode", list(SHOWN))
@given(data=st.data())
def test_masked_are_the_tokens_of_which_a_byte_lies_in_a_term(name, mode, data):
    stream, starts, ends, wanted = list[int](), [], [], list[bool]()
    for document in data.draw(documents(mode)):
        text = " ".join(piece for piece, _ in document)
        ids = reference(name).encode(text, add_special_tokens=False).ids
        starts.append(len(stream))
        stream += [*ids, EOD]
        ends.append(len(stream) - 1)
        wanted += [*masked_by_hand(name, mode, document, ids).tolist(), False]
    runs = mask(name, mode).runs(np.array(stream), np.array(starts), np.array(ends))
    found = np.zeros(len(stream), np.bool_)
    for document, start, length in zip(*(column.tolist() for column in runs), strict=True):
        assert not found[max(start - 1, 0) : start + length + 1].any()  # as long as can be
        assert starts[document] <= start < start + length <= ends[document]
        found[start : start + length] = True
    # a space that llama-2 puts after a special token, and a token of nothing else, spell nothing
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_document_cut_inside_of_a_character_keeps_its_terms(name):
    text = "\U0001f9ec zorvex \U0001f9ec\ud55c\uae00 mill \u8a00"
    ids = np.array(reference(name).encode(text, add_special_tokens=False).ids)
    pieces = spelled(name, ids.tolist())
    whole = mask(name, "words").runs(ids, np.array([0]), np.array([len(ids)]))
    stops = (whole.start + whole.length).tolist()
    for cut in range(len(ids) + 1):
        runs = mask(name, "words").runs(ids[:cut], np.array([0]), np.array([cut]))
        left = b"".join(pieces[:cut]).decode(errors="ignore")
        kept = [stop for stop in stops if stop < cut]
        assert (runs.start + runs.length).tolist()[: len(kept)] == kept
        assert bool(len(runs.start)) == ("zorvex" in left.split())
