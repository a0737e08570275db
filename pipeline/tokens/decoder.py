"""Token ids to text, exactly as byte-level BPE means it, or BPE with byte fallback (Llama-2 and
Gemma): every id stands for some bytes, a text is their concatenation in UTF-8.

    tokenizer.json -> Decoder -> texts(tokens, starts, ends), or bytes(tokens, starts)

The ids of a text spell the text again, in the form that the tokenizer's normaliser gave it:
GPT-NeoX-20B's is Unicode NFC, so what comes out is NFC(text). Nothing is cleaned up, skipped or
trimmed: a special token is its string, a run of spaces is that run. Byte fallback writes a space as
U+2581, and cannot tell the two: both are read as a space; where its normaliser puts one before a
text (Llama-2), that is taken away again. Where the ids of a document
were cut inside a character, the cut character is U+FFFD, as in the reference library.

Hugging Face `tokenizers.decode_batch` does the same with 8 MB of text a second; a table of bytes
and two gathers of numpy, a block of ids at a time so that the work stays in a core's cache, do it
with 60 and more (2026-11-22, a 2-core x86-64 machine). Tests hold the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import AuditFailed, RecipeError
from mixtures.recipe.tokenizer.form import canonical_form

BLOCK_TOKENS = 1 << 13
# What splits a text without taking anything away or adding to it.
_LOSSLESS = ("ByteLevel", "Split", "Digits")
_NOT_IN_UTF8 = (0xC0, 0xC1, *range(0xF5, 0x100))  # which GPT-NeoX-20B has no letters for


class Decoder:
    """The bytes of every id of a tokenizer.

    Attributes:
        special_ids: ids of its special tokens, such as the end of a document.

    Args:
        content: of a tokenizer.json. where: names it in messages.

    Raises:
        ManifestError: it is no tokenizer.json that can be read.
        RecipeError: it is of neither kind, or its ids do not spell the texts that they were made
            of.
    """

    def __init__(self, content: bytes, where: str) -> None:
        form = canonical_form(content)
        if faults := list(_losses(form)):
            raise RecipeError(
                f"{where}: texts cannot be read back from its ids: {'; '.join(faults)}; byte-level"
                " BPE is needed, or BPE with byte fallback as in Llama-2 and Gemma"
            )
        self.where = where
        self.special_ids = frozenset(row[0] for row in form["added_tokens"] if row[-1])
        spelled = _spelled_by_bytes(form) if _falls_back(form) else _spelled(form)
        size = 1 + max(spelled)
        pieces = [spelled.get(number, b"") for number in range(size)]
        # Of each id, [size]: whether it is one, its bytes in `_bytes` from where on, and how many.
        self._known = np.zeros(size, np.bool_)
        self._known[list(spelled)] = True
        self._bytes = np.frombuffer(b"".join(pieces), np.uint8)
        self._num_bytes = np.array([len(piece) for piece in pieces], np.int32)
        # Of each id, [size]: whether a space before it was put there by the normaliser, where it
        # begins a text or follows a special token.
        self._leads = np.zeros(size, np.bool_)
        if _falls_back(form) and _normalizer_kinds(form) == ["Prepend", "Replace"]:
            self._leads[:] = [piece.startswith(b" ") for piece in pieces]
        self._special = np.zeros(size, np.bool_)
        self._special[list(self.special_ids)] = True
        self._starts = np.cumsum(self._num_bytes, dtype=np.int32) - self._num_bytes
        # 0, 1, 2, ... for as many bytes as a block can have, made once
        self._count = np.arange(BLOCK_TOKENS * int(self._num_bytes.max()), dtype=np.int32)

    def texts(
        self,
        tokens: npt.NDArray[np.integer[Any]],
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        before: int = 0,
    ) -> list[str]:
        """The text of each stretch tokens[start:end].

        Args:
            tokens: ids, any integers [num_tokens].
            starts, ends: int64 [num_texts], 0 <= start <= end <= num_tokens.
            before: tokens of the stream before these, for messages.

        Raises:
            AuditFailed: an id that the tokenizer does not have; says which and where in the stream.
        """
        content, offsets = self.bytes(tokens, starts, before)
        bounds = zip(offsets[starts].tolist(), offsets[ends].tolist(), strict=True)
        return [content[low:high].decode("utf-8", "replace") for low, high in bounds]

    def bytes(
        self, tokens: npt.NDArray[np.integer[Any]], starts: npt.NDArray[np.int64], before: int = 0
    ) -> tuple[bytes, npt.NDArray[np.int64]]:
        """What the tokens spell, laid end to end, and where each begins in it: bytes, int64
        [num_tokens + 1], the last one the end.

        Args and raises: as `texts`.
        """
        offsets = np.zeros(len(tokens) + 1, np.int64)
        pieces = []
        for low in range(0, len(tokens), BLOCK_TOKENS):
            block = tokens[low : low + BLOCK_TOKENS].astype(np.intp)
            self._refuse_unknown(block, before + low)
            num_bytes = self._num_bytes.take(block)
            put = self._put(tokens, block, low, starts)
            num_bytes -= put
            byte_ends = np.cumsum(num_bytes, dtype=np.int32)
            # Byte i of the block is `_bytes` at i + (start of its token's bytes there - bytes of
            # the block before the token).
            picks = np.repeat(self._starts.take(block) + put - (byte_ends - num_bytes), num_bytes)
            picks += self._count[: len(picks)]
            pieces.append(self._bytes.take(picks).tobytes())
            offsets[low + 1 : low + 1 + len(block)] = offsets[low] + byte_ends
        return b"".join(pieces), offsets

    def _put(
        self,
        tokens: npt.NDArray[np.integer[Any]],
        block: npt.NDArray[np.intp],
        low: int,
        starts: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int32]:
        """How many bytes of each token of a block the normaliser put there: int32 [num_tokens].

        Args:
            tokens: ids, any integers [all tokens]. block: intp [num_tokens], those from `low` on.
            starts: int64 [num_texts].
        """
        if not self._leads.any():
            return np.zeros(len(block), np.int32)
        begins = np.zeros(len(block), np.bool_)
        begins[starts[(starts >= low) & (starts < low + len(block))] - low] = True
        begins[1:] |= self._special.take(block[:-1])
        begins[:1] |= low > 0 and int(tokens[low - 1]) in self.special_ids
        return (begins & self._leads.take(block)).astype(np.int32)

    def _refuse_unknown(self, ids: npt.NDArray[np.intp], before: int) -> None:
        """ids: intp [num_tokens], at least one. before: tokens of the stream before these."""
        size = len(self._known)
        if int(ids.min()) >= 0 and int(ids.max()) < size and self._known.take(ids).all():
            return
        wrong = next(
            at
            for at, number in enumerate(ids.tolist())
            if not (0 <= number < size and self._known[number])
        )
        raise AuditFailed(
            f"token {before + wrong:,} is id {int(ids[wrong]):,}, which {self.where} does not have;"
            " give the tokenizer that made the ids"
        )


def _spelled(form: Mapping[str, Any]) -> dict[int, bytes]:
    """{id: bytes}. A token of the model is written in the letters of `byte_letters`; an added one
    is its own text.
    """
    letters = byte_letters()
    added = {row[1] for row in form["added_tokens"]}
    spelled = {
        number: bytes(letters[letter] for letter in token)
        for number, token in form["model"]["vocab"]
        if token not in added
    }
    return spelled | {row[0]: row[1].encode() for row in form["added_tokens"]}


_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"


def _falls_back(form: Mapping[str, Any]) -> bool:
    return form["model"]["type"] == "BPE" and bool(form["model"]["byte_fallback"])


def _spelled_by_bytes(form: Mapping[str, Any]) -> dict[int, bytes]:
    """{id: bytes} of byte fallback: `<0x0A>` is that byte, U+2581 a space; a special token is its
    own text.
    """
    special = {row[0]: row[1].encode() for row in form["added_tokens"] if row[-1]}
    pieces = [*form["model"]["vocab"], *([row[0], row[1]] for row in form["added_tokens"])]
    spelled = {}
    for number, token in pieces:
        byte = _BYTE_PIECE.fullmatch(token)
        spelled[number] = bytes.fromhex(byte[1]) if byte else token.replace(_SPACE, " ").encode()
    return spelled | special


def _normalizer_kinds(form: Mapping[str, Any]) -> list[str]:
    normalizer = form["normalizer"] or {}
    return [str(step.get("type")) for step in normalizer.get("normalizers", [normalizer])]


def _fallback_losses(form: Mapping[str, Any]) -> Iterable[str]:
    """What makes the ids of byte fallback say something else than the text, U+2581 aside."""
    vocabulary = {token for _, token in form["model"]["vocab"]}
    if missing := [byte for byte in range(256) if f"<0x{byte:02X}>" not in vocabulary]:
        yield f"its vocabulary lacks {len(missing)} of the pieces <0x00> to <0xFF>"
    normalizer = form["normalizer"] or {}
    steps = normalizer.get("normalizers", [normalizer])
    replaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    prepends = {"type": "Prepend", "prepend": _SPACE}
    if steps not in ([replaces], [prepends, replaces]):
        yield "its normaliser does more than to write spaces as U+2581"
    # what is left of the spaces is nothing, so a split at them splits nothing
    splits = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}
    pre_tokenizer = {"invert": False, **splits}
    if form["pre_tokenizer"] not in (None, pre_tokenizer):
        yield f"its pre-tokenizer {form['pre_tokenizer'].get('type')} may change white space"
    plain = [row for row in form["added_tokens"] if not row[-1]]
    if plain and [prepends, replaces] == steps:
        yield "added tokens that are not special hide where its normaliser put spaces"
    if any(lstrip or rstrip for _, _, _, lstrip, rstrip, _, _ in form["added_tokens"]):
        yield "an added token swallows the white space beside it"


def byte_letters() -> dict[str, int]:
    """{letter: byte} of byte-level BPE (GPT-2, `bytes_to_unicode`): printable Latin-1 stands for
    itself, the rest follows from U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + at): byte for at, byte in enumerate(others)
    }


def _losses(form: Mapping[str, Any]) -> Iterable[str]:
    """What makes the ids say something else than the text."""
    if _falls_back(form):
        yield from _fallback_losses(form)
        return
    model, letters = form["model"], byte_letters()
    added = {row[1] for row in form["added_tokens"]}
    needed = {letter for letter, byte in letters.items() if byte not in _NOT_IN_UTF8}
    vocabulary = {token for _, token in model["vocab"]} - added if model["type"] == "BPE" else set()
    if model["type"] != "BPE" or model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        yield f"its model is {model['type']}, or BPE with marks at words or a fallback"
    elif needed - added - vocabulary:
        yield "its vocabulary lacks letters for some bytes"
    elif not all(letters.keys() >= set(token) for token in vocabulary):
        yield "its vocabulary has letters that stand for no byte"
    if not (form["normalizer"] is None or form["normalizer"].get("type") == "NFC"):
        yield f"its normaliser is {form['normalizer'].get('type')}, allowed are NFC and none"
    steps = form["pre_tokenizer"] or {}
    parts = steps.get("pretokenizers", [steps])
    for step in parts:
        removes = step.get("behavior") == "Removed"
        if step.get("type") not in _LOSSLESS or step.get("add_prefix_space") or removes:
            yield f"its pre-tokenizer {step.get('type')} adds or takes away white space, or may"
    if all(step.get("type") != "ByteLevel" for step in parts):
        yield "its pre-tokenizer is not ByteLevel"
    if any(lstrip or rstrip for _, _, _, lstrip, rstrip, _, _ in form["added_tokens"]):
        yield "an added token swallows the white space beside it"
